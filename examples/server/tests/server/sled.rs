//! The server on sled, and the way from one storage to the other.

use crate::support::*;

#[test]
fn the_whole_flow_works_on_sled_and_survives_a_kill() {
    let mut server = Server::with(&[("GRANTOR_STORAGE", "sled")]);
    let client = server.register_spa();
    let tokens = server.tokens(&client);
    let first = tokens["refresh_token"].as_str().unwrap().to_owned();
    let second = server.refresh(&client, &first).string("refresh_token");
    assert_eq!(server.get("/health", &[]).status, 200);
    server.kill();
    server.start();
    let third = server.refresh(&client, &second);
    assert_eq!(third.status, 200, "{}", third.text);
    assert!(server.data().join("sled").exists() && !server.data().join("grantor.db").exists());
}

#[test]
fn a_command_beside_a_server_on_sled_is_told_to_stop_it() {
    let server = Server::with(&[("GRANTOR_STORAGE", "sled")]);
    let output = server.command(&["client", "list", "--org", "your-org"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("stop it first"), "{}", stderr(&output));
    assert_eq!(server.get("/health", &[]).status, 200);
}

#[test]
fn records_move_to_sled_and_back_and_nothing_is_lost() {
    let mut server = Server::new();
    let client = server.register_spa();
    let tokens = server.tokens(&client);
    let mut refresh_token = tokens["refresh_token"].as_str().unwrap().to_owned();
    let revoked = server.tokens(&client)["refresh_token"].as_str().unwrap().to_owned();
    let revoke = [("token", revoked.as_str()), ("client_id", &client)];
    assert_eq!(server.form("/oauth2/revoke", &revoke).status, 200);
    // While it runs, nothing is moved.
    let busy = server.command(&["migrate-storage", "--to", "sled"]).output().unwrap();
    assert!(stderr(&busy).contains("stop it first"), "{}", stderr(&busy));
    for to in ["sled", "sqlite"] {
        server.kill();
        let moved = server.command(&["migrate-storage", "--to", to]).output().unwrap();
        assert!(moved.status.success(), "{}", stderr(&moved));
        let said = stdout(&moved);
        assert!(said.contains("4 clients, 2 grants"), "{said}");
        // The old storage is not used by mistake.
        let old = server.command(&[]).output().unwrap();
        assert_eq!(old.status.code(), Some(1));
        assert!(stderr(&old).contains("GRANTOR_STORAGE"), "{}", stderr(&old));
        let again = server.command(&["migrate-storage", "--to", to]).output().unwrap();
        assert!(stderr(&again).contains("already"), "{}", stderr(&again));
        server.set("GRANTOR_STORAGE", to);
        server.start();
        let refreshed = server.refresh(&client, &refresh_token);
        assert_eq!(refreshed.status, 200, "{to}: {}", refreshed.text);
        refresh_token = refreshed.string("refresh_token");
        assert_eq!(server.refresh(&client, &revoked).status, 400);
        assert_eq!(server.login(&server.person()).status, 200);
        if to == "sled" {
            // What was copied from is old now, and would be refused.
            std::fs::remove_file(server.data().join("grantor.db")).unwrap();
            for rest in ["grantor.db-wal", "grantor.db-shm"] {
                let _ = std::fs::remove_file(server.data().join(rest));
            }
        }
    }
}

#[test]
fn copying_that_was_interrupted_goes_on() {
    let mut server = Server::new();
    let client = server.register_spa();
    let tokens = server.tokens(&client);
    let refresh_token = tokens["refresh_token"].as_str().unwrap().to_owned();
    server.kill();
    let data = server.data();
    let settings = || rusqlite::Connection::open(data.join("accounts.db")).unwrap();
    let migrate = || server.command(&["migrate-storage", "--to", "sled"]).output().unwrap();
    assert!(migrate().status.success());
    // As if it had been killed just before its end.
    let back = "UPDATE settings SET value = CASE name WHEN 'storage' THEN 'sqlite' ELSE 'sled' END
                WHERE name IN ('storage', 'moving')";
    settings().execute(back, []).unwrap();
    assert!(migrate().status.success());
    settings().execute(back, []).unwrap();
    // The server runs on the old storage in between: what was copied is not what is there.
    server.start();
    assert_eq!(server.refresh(&client, &refresh_token).status, 200);
    server.kill();
    let refused = server.command(&["migrate-storage", "--to", "sled"]).output().unwrap();
    assert!(stderr(&refused).contains("delete it"), "{}", stderr(&refused));
    std::fs::remove_dir_all(server.data().join("sled")).unwrap();
    let moved = server.command(&["migrate-storage", "--to", "sled"]).output().unwrap();
    assert!(moved.status.success(), "{}", stderr(&moved));
}
