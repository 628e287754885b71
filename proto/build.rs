//! Compiles `weir/v1/*.proto` without `protoc`.

use std::{env, fs, io, path::PathBuf};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=weir");
    let files = ["registry", "admin", "discovery"].map(|name| format!("weir/v1/{name}.proto"));
    let descriptors = protox::compile(files, ["."]).map_err(io::Error::other)?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("OUT_DIR is not set"))?);
    fs::write(out.join("weir.v1.binpb"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure()
        // Maps in the order of their keys: the same content always has the same bytes.
        .btree_map(".")
        // Bodies are shared between streams, not copied for each.
        .bytes(".weir.v1")
        .compile_fds(descriptors)
}
