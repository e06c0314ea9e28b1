//! The whole contract, by the kit; and what only this store has: a file that a crash tears.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use grantor::Issuer;
use grantor::store::KeyStore as _;
use grantor::store::conformance::Backend;
use grantor_example_custom_store::JournalStore;
use pollster::block_on;

struct File(tempfile::TempDir);

impl Backend for File {
    type Store = JournalStore;
    fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn open(&self) -> JournalStore {
        JournalStore::open(self.0.path().join("journal")).unwrap()
    }
}

grantor::store_conformance!(File);

#[test]
fn a_line_that_a_crash_has_torn_was_never_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let issuer = Issuer::new("https://id.example.com").unwrap();
    let store = JournalStore::open(&path).unwrap();
    assert!(block_on(store.replace(&issuer, b"one".to_vec(), 0)).unwrap());
    let whole = std::fs::metadata(&path).unwrap().len();
    assert!(block_on(store.replace(&issuer, b"two".to_vec(), 1)).unwrap());
    drop(store);
    let text = std::fs::read(&path).unwrap();
    // Wherever the last line is torn, the one before stands, and the journal goes on.
    for length in usize::try_from(whole).unwrap()..text.len() {
        std::fs::write(&path, text.get(..length).unwrap()).unwrap();
        let store = JournalStore::open(&path).unwrap();
        assert_eq!(block_on(store.load(&issuer)).unwrap().unwrap().sealed, b"one");
        assert!(block_on(store.replace(&issuer, b"three".to_vec(), 1)).unwrap());
        drop(store);
        let store = JournalStore::open(&path).unwrap();
        assert_eq!(block_on(store.load(&issuer)).unwrap().unwrap().sealed, b"three");
    }
}

#[test]
fn two_processes_do_not_write_one_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let store = JournalStore::open(&path).unwrap();
    assert!(JournalStore::open(&path).is_err());
    drop(store);
    assert!(JournalStore::open(&path).is_ok());
}
