//! Records: whatever a store hands back is refused, or written down again as what was read.
#![no_main]

use grantor::store::record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(grant) = record::read_grant(text) {
        let written = record::write_grant(&grant).expect("what was read can be written");
        assert_eq!(record::read_grant(&written).expect("and read again"), grant);
    }
    if let Ok(client) = record::read_client(text) {
        let written = record::write_client(&client).expect("what was read can be written");
        assert_eq!(record::read_client(&written).expect("and read again"), client);
    }
});
