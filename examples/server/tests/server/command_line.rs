//! Starting, and what an operator is told when it cannot be.

use std::fs;
use std::process::Output;

use crate::support::*;

fn run(folder: &std::path::Path, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    command_in(folder, arguments).envs(environment.iter().copied()).output().unwrap()
}

/// One clear sentence on stderr, exit code 1.
fn refused(output: &Output, words: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let sentences: Vec<&str> = said.lines().filter(|l| l.starts_with("grantor-server: ")).collect();
    assert_eq!(sentences.len(), 1, "{said}");
    for word in words {
        assert!(sentences[0].contains(word), "{word:?} in {said}");
    }
}

#[test]
fn a_broken_configuration_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let with = |toml: &str| {
        fs::write(folder.path().join("grantor.toml"), toml).unwrap();
        run(folder.path(), &[], &[])
    };
    refused(&with("isuer = \"http://localhost:4000\""), &["isuer", "`issuer`", "grantor.toml"]);
    refused(&with("issuer = \"http://id.example.com\""), &["issuer", "use https"]);
    refused(&with("listen = \"nonsense\""), &["listen", "127.0.0.1:4000"]);
    refused(&with("issuer = "), &["grantor.toml"]);
    fs::remove_file(folder.path().join("grantor.toml")).unwrap();
    refused(&run(folder.path(), &[("GRANTOR_LIFETIMES__COD", "1")], &[]), &["cod", "`code`"]);
    refused(
        &run(folder.path(), &[], &["--config", "no.toml"]),
        &["no.toml", "cannot read the configuration file"],
    );
    assert!(!folder.path().join("data").exists(), "nothing was made");
}

#[test]
fn a_busy_port_stops_the_start_before_anything_is_touched() {
    let server = Server::new();
    let folder = tempfile::tempdir().unwrap();
    let listen = format!("127.0.0.1:{}", server.port);
    let output = run(folder.path(), &[("GRANTOR_LISTEN", &listen)], &[]);
    refused(&output, &[&listen, "GRANTOR_LISTEN"]);
    assert!(!folder.path().join("data").exists());
}

#[test]
fn a_wrong_or_missing_master_key_stops_the_start_and_damages_nothing() {
    let mut server = Server::new();
    let client = server.register_spa();
    let tokens = server.tokens(&client);
    server.kill();
    let database = fs::read(server.data().join("grantor.db")).unwrap();
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let wrong = server.command(&[]).env("GRANTOR_MASTER_KEY", other).output().unwrap();
    refused(&wrong, &["does not open", "master key"]);
    let short = server.command(&[]).env("GRANTOR_MASTER_KEY", "c2hvcnQ=").output().unwrap();
    refused(&short, &["32 bytes"]);
    assert!(!stderr(&short).contains("c2hvcnQ="));
    let file = server.data().join("master.key");
    let key = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    refused(&server.command(&[]).output().unwrap(), &["master.key", "restore"]);
    assert!(!file.exists(), "no new key was made beside old records");
    fs::write(&file, &key).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        refused(&server.command(&[]).output().unwrap(), &["chmod 600"]);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert!(fs::read(server.data().join("grantor.db")).unwrap().len() >= database.len());
    server.start();
    assert_eq!(server.refresh(&client, tokens["refresh_token"].as_str().unwrap()).status, 200);
}

#[test]
fn a_damaged_database_and_a_folder_that_cannot_be_made_are_said() {
    let server = Server::new();
    let folder = tempfile::tempdir().unwrap();
    let environment = [("GRANTOR_LISTEN", "127.0.0.1:0")];
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/grantor.db"), "not a database at all, but long enough")
        .unwrap();
    fs::copy(server.data().join("master.key"), folder.path().join("data/master.key")).unwrap();
    refused(&run(folder.path(), &environment, &[]), &["grantor.db"]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("data"), "a file").unwrap();
    refused(&run(folder.path(), &environment, &[]), &["data"]);
}

#[test]
fn a_public_server_is_made_by_init_and_not_by_a_demonstration() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port().to_string();
    let listen = format!("127.0.0.1:{port}");
    let environment = [("GRANTOR_ISSUER", "https://id.example.com"), ("GRANTOR_LISTEN", &listen)];
    refused(&run(folder.path(), &environment, &[]), &["grantor-server init"]);
    // A mistake leaves nothing behind that would be in the way.
    let bad = ["init", "--org", "acme", "--admin-email", "ada"];
    refused(&run(folder.path(), &environment, &bad), &["\"ada\""]);
    let init = ["init", "--org", "acme", "--admin-email", "ada@acme.example"];
    let made = run(folder.path(), &environment, &init);
    assert!(made.status.success(), "{}", stderr(&made));
    assert!(stdout(&made).contains("password, shown once"));
    refused(&run(folder.path(), &environment, &init), &["acme", "exists already"]);
    let bad = ["init", "--org", "Not A Slug", "--admin-email", "ada@acme.example"];
    refused(&run(folder.path(), &environment, &bad), &["Not A Slug"]);
    let short =
        [&init[..1], &["--org", "b", "--admin-email", "b@b.example", "--admin-password", "x"]]
            .concat();
    refused(&run(folder.path(), &environment, &short), &["at least 8"]);
}

#[test]
fn clients_are_added_listed_and_shown_beside_a_running_server() {
    let server = Server::new();
    let run = |arguments: &[&str]| {
        let output = server.command(arguments).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let added = run(&[
        "client",
        "add",
        "--org",
        "your-org",
        "--name",
        "Shop",
        "--redirect-uri",
        CALLBACK,
        "--first-party",
    ]);
    let client: serde_json::Value = serde_json::from_str(&added).unwrap();
    let id = client["clientId"].as_str().unwrap();
    assert!(client["clientSecret"].is_string());
    assert!(run(&["client", "list", "--org", "your-org"]).contains(id));
    let shown = run(&["client", "show", "--org", "your-org", id]);
    assert!(
        shown.contains("\"Shop\"") && !shown.contains(client["clientSecret"].as_str().unwrap())
    );
    // The running server knows it at once.
    assert!(server.authorize(id, &server.admin_cookie()).parameter("code").is_some());

    let one = |verb: &str, more: &[&str]| {
        run(&[&["client", verb, "--org", "your-org", id], more].concat())
    };
    let secret_works = |secret: &str| {
        let parameters =
            [("grant_type", "refresh_token"), ("client_id", id), ("client_secret", secret)];
        server.form("/oauth2/token", &parameters).status != 401
    };
    let edited = one(
        "edit",
        &["--name", "Store", "--scope", "openid", "--post-logout-redirect-uri", ORIGIN],
    );
    assert!(edited.contains("\"Store\"") && edited.contains(CALLBACK) && !edited.contains("email"));
    let rotated: serde_json::Value = serde_json::from_str(&one("rotate-secret", &[])).unwrap();
    assert!(!secret_works(client["clientSecret"].as_str().unwrap()));
    assert!(secret_works(rotated["clientSecret"].as_str().unwrap()));
    assert!(one("edit", &["--active", "false"]).contains("\"isActive\": false"));
    assert!(!secret_works(rotated["clientSecret"].as_str().unwrap()));
    assert!(one("edit", &["--active", "true"]).contains("\"isActive\": true"));
    assert!(one("remove", &[]).contains("Removed"));
    assert!(!run(&["client", "list", "--org", "your-org"]).contains(id));
    assert!(run(&["keys", "list"]).matches("signs now").count() == 3);
    assert!(run(&["purge"]).contains("Deleted 0 grants"));
    assert!(run(&["check-config"]).contains(&server.issuer()));

    let refuse = |arguments: &[&str], words: &[&str]| {
        refused(&server.command(arguments).output().unwrap(), words);
    };
    refuse(&["client", "show", "--org", "your-org", id], &["has no client"]);
    refuse(&["client", "list", "--org", "other"], &["other"]);
    refuse(&["client", "show", "--org", "your-org", "client_x"], &["client_x"]);
    let add = ["client", "add", "--org", "your-org", "--name", "X"];
    refuse(&[&add[..], &["--redirect-uri", "http://x.example/cb"]].concat(), &["use https"]);
    refuse(&[&add[..], &["--redirect-uri", CALLBACK, "--scope", "all"]].concat(), &["all"]);
    refuse(
        &[&add[..], &["--redirect-uri", CALLBACK, "--grant-type", "password"]].concat(),
        &["password"],
    );
    // Where there is no data, and where there is another issuer's, nothing is made.
    let elsewhere = tempfile::tempdir().unwrap();
    let list = ["client", "list", "--org", "your-org"];
    refused(&command_in(elsewhere.path(), &list).output().unwrap(), &["no data", "GRANTOR_DATA"]);
    assert!(!elsewhere.path().join("data").exists());
    let output = server.command(&list).env("GRANTOR_ISSUER", "http://localhost:1").output();
    refused(&output.unwrap(), &["http://localhost:1", "GRANTOR_ISSUER="]);
    let usage = server.command(&["client", "add"]).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn people_are_added_locked_out_and_given_passwords_beside_a_running_server() {
    use std::io::Write as _;
    let server = Server::new();
    let run = |arguments: &[&str]| {
        let output = server.command(arguments).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let shown = |said: &str| said.split("shown once: ").nth(1).unwrap().trim().to_owned();
    let email = "bo@example.com";
    let add =
        ["user", "add", "--org", "your-org", "--email", "Bo@example.com", "--name", "Bo Example"];
    let password = shown(&run(&add));
    let login = |password: &str| server.login(&(email.to_owned(), password.to_owned()));
    assert_eq!(login(&password).json()["user"]["name"], "Bo Example");
    assert!(run(&["user", "list", "--org", "your-org"]).contains("bo@example.com   person"));

    let client = server.register_spa();
    let cookie = login(&password).cookie();
    let code = server.authorize(&client, &cookie).parameter("code").unwrap();
    let bearer = format!("Bearer {}", server.redeem(&client, &code).string("access_token"));
    let alive = || {
        let by_cookie = server.get("/v1/me/profile", &[("cookie", &cookie)]).status == 200;
        let by_token = server.get("/oauth2/userinfo", &[("authorization", &bearer)]).status == 200;
        (by_cookie, by_token)
    };
    assert_eq!(alive(), (true, true));
    run(&["user", "disable", email]);
    assert_eq!(alive(), (false, false));
    assert_eq!(login(&password).status, 401);
    assert!(run(&["user", "list", "--org", "your-org"]).contains("(disabled)"));
    run(&["user", "enable", email]);
    assert_eq!((alive(), login(&password).status), ((false, false), 200));

    let new = shown(&run(&["user", "passwd", email]));
    assert_eq!((login(&password).status, login(&new).status), (401, 200));
    let mut by_stdin = server
        .command(&["user", "passwd", email, "--password-stdin"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    by_stdin.stdin.take().unwrap().write_all(b"correct horse battery\n").unwrap();
    let output = by_stdin.wait_with_output().unwrap();
    assert!(output.status.success() && !stdout(&output).contains("shown once"));
    assert_eq!(login("correct horse battery").status, 200);

    let refuse = |arguments: &[&str], words: &[&str]| {
        refused(&server.command(arguments).output().unwrap(), words);
    };
    refuse(&add, &["exists already"]);
    refuse(&["user", "disable", "nobody@example.com"], &["nobody@example.com"]);
    refuse(&["user", "add", "--org", "other", "--email", "x@example.com"], &["other"]);
    refuse(&["user", "add", "--org", "your-org", "--email", "x"], &["not an e-mail"]);
}

#[test]
fn keys_are_rotated_beside_a_running_server() {
    let server = Server::new();
    let rotated = server.command(&["keys", "rotate"]).output().unwrap();
    assert!(rotated.status.success(), "{}", stderr(&rotated));
    let said = stdout(&rotated);
    assert!(said.contains("begin to sign at"), "{said}");
    assert_eq!(said.matches("signs now").count(), 3, "{said}");
    assert_eq!(said.matches("RS256").count(), 2, "{said}");
    let again = stdout(&server.command(&["keys", "rotate"]).output().unwrap());
    assert!(again.contains("made before"), "{again}");
    assert_eq!(again.matches("RS256").count(), 2, "{again}");
}

#[test]
fn keys_are_replaced_when_it_is_meant() {
    let server = Server::new();
    let before = stdout(&server.command(&["keys", "list"]).output().unwrap());
    let asked = server.command(&["keys", "replace"]).output().unwrap();
    assert!(!asked.status.success() && stderr(&asked).contains("--yes"), "{}", stderr(&asked));
    assert_eq!(stdout(&server.command(&["keys", "list"]).output().unwrap()), before);
    let replaced = server.command(&["keys", "replace", "--yes"]).output().unwrap();
    let said = stdout(&replaced);
    assert!(replaced.status.success() && said.contains("All keys are new"), "{said}");
    assert_eq!(said.matches("signs now").count(), 3, "{said}");
    let kids = before.split_whitespace().filter(|word| word.len() == 43);
    assert!(kids.clone().count() == 3 && kids.into_iter().all(|kid| !said.contains(kid)), "{said}");
}

/// The commands that a help text lists.
fn listed(help: &str) -> Vec<String> {
    let commands = help.split("Commands:\n").nth(1).unwrap_or("").split("\n\n").next().unwrap();
    let names = commands.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let folder = tempfile::tempdir().unwrap();
    let mut open = vec![Vec::new()];
    let mut seen = Vec::new();
    while let Some(command) = open.pop() {
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let output = command_in(folder.path(), &arguments).output().unwrap();
        assert!(output.status.success(), "{command:?}");
        let help = stdout(&output);
        let below = listed(&help);
        assert!(help.contains("Example"), "{command:?}: {help}");
        seen.extend(below.is_empty().then(|| command.join(" ")));
        open.extend(below.into_iter().map(|name| [&command[..], &[name]].concat()));
    }
    for expected in ["serve", "init", "client rotate-secret", "user passwd", "keys rotate", "purge"]
    {
        assert!(seen.iter().any(|name| name == expected), "{expected} is not in {seen:?}");
    }
    assert!(seen.len() >= 18, "{seen:?}");
    assert!(!folder.path().join("data").exists());
}

#[test]
fn a_failed_init_makes_nothing_and_a_good_one_names_the_issuer() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = [("GRANTOR_ISSUER", "https://id.acme.example")];
    let init = |org: &str, email: &str, password: &str| {
        let arguments =
            ["init", "--org", org, "--admin-email", email, "--admin-password", password];
        run(folder.path(), &issuer, &arguments)
    };
    for (org, email, password) in [
        ("Acme Ltd", "ada@acme.example", "correct horse"),
        ("acme", "nobody", "correct horse"),
        ("acme", "ada@acme.example", "short"),
    ] {
        assert_eq!(init(org, email, password).status.code(), Some(1));
        assert!(!folder.path().join("data").exists(), "{org} {email}");
    }
    let made = init("acme", "ada@acme.example", "correct horse");
    assert!(stdout(&made).contains("for https://id.acme.example"), "{}", stdout(&made));
}

#[test]
fn check_config_looks_at_the_master_key_too_and_says_what_follows() {
    let folder = tempfile::tempdir().unwrap();
    for setting in [("GRANTOR_MASTER_KEY", "abc"), ("GRANTOR_MASTER_KEY_FILE", "/no/such/key")] {
        let refused = run(folder.path(), &[setting], &["check-config"]);
        assert_eq!(refused.status.code(), Some(1), "{setting:?}");
    }
    let settings = [("GRANTOR_LOGIN_UI", "https://login.example.com/in")];
    let said = stdout(&run(folder.path(), &settings, &["check-config"]));
    for word in ["http://localhost:4000", "https://login.example.com", "sqlite", "offline_access"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(!folder.path().join("data").exists());
}

#[test]
fn a_folder_that_has_lost_a_half_is_not_taken_for_a_new_one() {
    for lost in ["accounts.db", "grantor.db"] {
        let mut server = Server::new();
        server.register_spa();
        server.kill();
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(server.data().join(format!("{lost}{suffix}")));
        }
        // A command that ends by itself either way.
        let init = ["init", "--org", "other", "--admin-email", "eve@example.com"];
        let output = server.command(&init).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{lost}");
        let said = stderr(&output);
        assert!(said.contains("has lost") && said.contains("backup"), "{lost}: {said}");
    }
}

#[test]
fn no_password_and_no_secret_comes_with_the_program() {
    let secrets = |introduction: &str| -> Vec<String> {
        let words = introduction.split_whitespace();
        words
            .filter(|word| word.len() > 15 && !word.contains("://") && !word.contains('@'))
            .map(str::to_owned)
            .collect()
    };
    let (one, two) = (Server::new(), Server::new());
    let (first, second) = (secrets(&one.introduction), secrets(&two.introduction));
    assert!(first.len() >= 4, "{first:?}");
    let shared: Vec<&String> = first.iter().filter(|secret| second.contains(secret)).collect();
    assert!(shared.is_empty(), "{shared:?}");
    let keys = |server: &Server| server.get("/oauth2/jwks.json", &[]).text;
    assert_ne!(keys(&one), keys(&two));
}

#[test]
fn a_key_that_cannot_be_used_is_named_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pem");
    let half = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n";
    fs::write(&key, half).unwrap();
    fs::write(
        folder.path().join("cert.pem"),
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let (key, certificate) =
        (key.display().to_string(), folder.path().join("cert.pem").display().to_string());
    let output = run(
        folder.path(),
        &[
            ("GRANTOR_TLS__KEY", &key),
            ("GRANTOR_TLS__CERTIFICATE", &certificate),
            ("GRANTOR_ISSUER", "https://localhost:4000"),
        ],
        &[],
    );
    assert!(!output.status.success());
    assert!(!stderr(&output).contains("MIIEvQ"), "{}", stderr(&output));
    let token = "too-short";
    let settings = [
        ("GRANTOR_REGISTRATION__MODE", "token"),
        ("GRANTOR_REGISTRATION__ORGANISATION", "your-org"),
        ("GRANTOR_REGISTRATION__TOKENS", "[\"too-short\"]"),
    ];
    let output = run(folder.path(), &settings, &["check-config"]);
    assert!(!output.status.success(), "{}", stdout(&output));
    assert!(!stderr(&output).contains(token), "{}", stderr(&output));
}
