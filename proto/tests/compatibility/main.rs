//! The contract never breaks an older or a newer peer: it is compared with the descriptor that is checked in.

mod rules;

use std::{env, fs, path::PathBuf};

use prost::Message;
use prost_types::FileDescriptorSet;

const REFRESH: &str = "WEIR_REFRESH_DESCRIPTOR";

#[test]
fn the_contract_breaks_nobody() {
    let mut now = FileDescriptorSet::decode(weir_proto::v1::FILE_DESCRIPTOR_SET).unwrap();
    for file in &mut now.file {
        // Comments may change freely.
        file.source_code_info = None;
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("weir.v1.binpb");
    let before = fs::read(&path).map(|bytes| FileDescriptorSet::decode(&*bytes).unwrap());
    let before = match before {
        Err(error) if env::var_os(REFRESH).is_none() => panic!("{}: {error}", path.display()),
        Err(_) => FileDescriptorSet::default(),
        Ok(before) => before,
    };

    let breaking = rules::breaking(&before, &now);
    assert!(breaking.is_empty(), "the contract would break peers:\n  {}", breaking.join("\n  "));

    if env::var_os(REFRESH).is_some() {
        fs::write(&path, now.encode_to_vec()).unwrap();
    } else {
        assert!(
            rules::contract(&before).eq(rules::contract(&now)),
            "the contract has grown, and its checked-in descriptor is behind; refresh it and commit it:\n  \
             {REFRESH}=1 cargo test -p weir-proto --test compatibility"
        );
    }
}
