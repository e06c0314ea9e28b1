//! The folder of a sled store: who may open it, and what a stranger's file leads to.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use grantor::store::KeyStore as _;
use grantor_sled::{OpenError, Sled};
use pollster::block_on;

#[test]
fn a_folder_that_is_in_use_is_refused_by_name_and_free_again_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sled");
    let store = Sled::open(&path).unwrap();
    let error = Sled::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("stop it first"), "{error}");
    drop(store);
    assert!(Sled::open(&path).is_ok());
}

#[test]
fn a_file_in_the_way_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sled");
    std::fs::write(&path, "not a folder").unwrap();
    let error = Sled::open(&path).unwrap_err().to_string();
    assert!(error.contains("sled"), "{error}");
}

#[test]
fn clones_share_the_store_and_the_last_one_closes_it() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = grantor::Issuer::new("https://id.example.com").unwrap();
    let store = Sled::open(folder.path()).unwrap();
    let clone = store.clone();
    assert!(block_on(store.replace(&issuer, b"ring".to_vec(), 0)).unwrap());
    drop(store);
    assert!(block_on(clone.load(&issuer)).unwrap().is_some());
    block_on(clone.check()).unwrap();
    drop(clone);
    assert!(block_on(Sled::open(folder.path()).unwrap().load(&issuer)).unwrap().is_some());
}
