//! Generates the wire's types with protox: no protoc is needed on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files =
        ["proto/godwit/conversation/v1/conversation.proto", "proto/godwit/sync/v1/sync.proto"];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["proto"])?;
    prost_build::Config::new().bytes(["."]).compile_fds(descriptors)?;
    Ok(())
}
