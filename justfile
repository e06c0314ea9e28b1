# What CI runs, in the same words.

# Lists the recipes.
default:
    @just --list

# Everything that CI runs.
ci:
    bash .ci/run

# Starts the server with the demonstration.
run:
    cargo run -p grantor-server

# All tests that need no other tool.
test:
    cargo test --workspace

# Formatting, lints, documentation.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Combinations of features and versions that must build.
features:
    cargo check -p grantor --no-default-features
    cargo check -p grantor --features conformance
    cargo check -p grantor-sqlite
    cargo check -p grantor-sled
    cargo check -p grantor --features testing
    cargo check -p grantor-tokio
    cargo check -p grantor-fetch
    cargo check -p grantor-actix
    cargo check -p grantor-axum
    cargo check -p grantor-axum --features tls

# The oldest rusqlite of the range, in a copy: an application may hold it back.
rusqlite-range:
    rm -rf target/range/tree && mkdir -p target/range/tree
    git ls-files | grep -v '^e2e/' | tar -cf - -T - | tar -xf - -C target/range/tree
    cd target/range/tree && cargo update -q -p rusqlite --precise 0.39.0
    cd target/range/tree && CARGO_TARGET_DIR=../target cargo test -q -p grantor-sqlite

# What the engine and the server are built of (CycloneDX), in target/sbom. Needs cargo-cyclonedx.
sbom:
    rm -rf target/sbom && mkdir -p target/sbom
    cargo cyclonedx --quiet --format json --spec-version 1.5 --target all --override-filename sbom.cdx
    mv core/sbom.cdx.json target/sbom/grantor.cdx.json
    mv examples/server/sbom.cdx.json target/sbom/grantor-server.cdx.json
    find . -name sbom.cdx.json -not -path './target/*' -not -path './e2e/node_modules/*' -delete
    grep -q '"pkg:cargo/aws-lc-rs@' target/sbom/grantor.cdx.json
    grep -q '"pkg:cargo/axum@' target/sbom/grantor-server.cdx.json

# Licences, sources, duplicate bans. Needs cargo-deny.
deny:
    cargo fetch --locked
    cargo deny --offline check licenses bans sources

# The book as pages, in target/book. Needs mdbook.
book:
    mdbook build book

# The systemd unit is sound. Needs systemd-analyze.
unit:
    mkdir -p target/unit
    sed 's,^ExecStart=/usr/local/bin/grantor-server,ExecStart={{justfile_directory()}}/target/debug/grantor-server,' packaging/grantor-server.service > target/unit/grantor-server.service
    cargo build -p grantor-server
    systemd-analyze verify target/unit/grantor-server.service

# Real clients and a real browser. Needs Node, Python, Chromium, openssl and Apache with mod_auth_openidc.
e2e:
    cargo build -p grantor-server -p grantor-example-embed-axum -p grantor-example-embed-actix -p grantor-example-separate-api
    cd e2e && npm ci --no-audit --no-fund
    cd e2e && python3 -m venv .venv && .venv/bin/pip install --quiet --disable-pip-version-check -r python/requirements.txt
    cargo build --manifest-path e2e/openidconnect/Cargo.toml
    cd e2e && npm test

# Small wrong changes, each of which a test must notice.
sabotage *names:
    cargo xtask sabotage {{names}}

# The RFC sections that the code cites beside those that the tests cite.
spec:
    cargo xtask spec

# Kills, full disks, failing disks, power cuts and races, on each storage. Needs prlimit and strace.
crash:
    cargo build -p grantor-server -p grantor-crash
    @for storage in sqlite sled; do \
        target/debug/grantor-crash kill --kills 25 --storage $storage && \
        target/debug/grantor-crash kill --kills 10 --storage $storage --retry-window 0 --seed 2 && \
        target/debug/grantor-crash full --storage $storage && \
        target/debug/grantor-crash broken --storage $storage && \
        target/debug/grantor-crash power --cuts 5 --storage $storage && \
        target/debug/grantor-crash mix --flows 1000 --storage $storage && \
        target/debug/grantor-crash race --codes 2000 --racers 16 --storage $storage || exit 1; \
    done
    target/debug/grantor-crash race --codes 2000 --racers 16 --storage memory
    target/debug/grantor-crash race --codes 200 --racers 16 --two-processes

# Thousands of connections that send half a request, to each adapter.
slow:
    cargo run -q -p grantor-adapter-tests

# Five times as many requests as can be answered, for a minute. Needs taskset and two cores.
overload seconds="60":
    cargo run --release -p grantor-bench -- overload --strict --seconds {{seconds}}

# What each kind of request costs, beside the frameworks alone and beside peers: some five minutes, and what the builds take.
# The report is in target/bench; the book's is made by `--rounds 5 --clients 1,16,64`. Needs taskset, strace, Node and two cores.
bench *options: bench-peers
    cargo run --release -p grantor-bench -- compare --rounds 3 --seconds 0.3 --clients 16,64 {{options}}

# The peers, built.
bench-peers profile="release":
    cd bench/peers/oidc-provider && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
    cargo build --profile {{profile}} --manifest-path bench/peers/oxide-auth/Cargo.toml
    cargo build --profile {{profile}} --manifest-path bench/peers/oauth-as/Cargo.toml

# What costs become with a million grants and a hundred thousand clients, and while ended grants are purged: some ten minutes.
scale *options:
    cargo run --release -p grantor-bench -- scale {{options}}

# That the measurements work, on unoptimized builds: their figures say nothing.
bench-smoke: (bench-peers "dev")
    cargo run -q -p grantor-bench -- overload --seconds 2
    cargo run -q -p grantor-bench -- compare --peer-builds debug --rounds 1 --seconds 0.1 --clients 4 --report target/bench-smoke
    cargo run -q -p grantor-bench -- scale --grants 1000,2000 --clients 1,100 --seconds 0.1

# How many instructions each kind of request takes: `check` fails when one has risen by a tenth, `write` makes a new
# baseline. The build is unoptimized, so that it costs no second one: what grows there grows. Needs valgrind.
instructions verb="check":
    cargo run -q -p grantor-instructions -- {{verb}}

# Every fuzz target for some seconds. Needs cargo-fuzz.
fuzz seconds="5":
    cd fuzz && cargo fuzz build -s none
    @for target in $(cd fuzz && cargo fuzz list); do \
        mkdir -p fuzz/corpus/$target && \
        echo "fuzz $target" && \
        (cd fuzz && cargo fuzz run -s none $target corpus/$target seeds/$target -- \
            -max_total_time={{seconds}} -rss_limit_mb=4096 -verbosity=0 -print_final_stats=1 2> target/$target.log) \
        || { tail -40 fuzz/target/$target.log; exit 1; }; \
        grep -h -E 'number_of_executed|exec_per_sec' fuzz/target/$target.log || true; \
    done

# Mutation testing of the modules in .cargo/mutants.toml. Takes some 20 minutes. Needs cargo-mutants.
mutants:
    cargo mutants -p grantor -o target/mutants -j 2

# Everything of the above that finds more the longer it runs: hours. Needs what crash, fuzz and mutants need.
long: mutants
    PROPTEST_CASES=100000 cargo test --release -p grantor --features testing,conformance --test spec hostile
    cargo build --release -p grantor-server -p grantor-crash
    @for storage in sqlite sled; do \
        crash="target/release/grantor-crash --program target/release/grantor-server --storage $storage" && \
        $crash kill --kills 1500 --seed 3 && \
        $crash kill --kills 500 --seed 4 --retry-window 0 && \
        $crash power --cuts 200 --seed 5 && \
        $crash mix --flows 100000 && \
        $crash race --codes 100000 --racers 64 || exit 1; \
    done
    target/release/grantor-crash --program target/release/grantor-server race --codes 2000 --racers 16 --two-processes
    just fuzz 330
