//! Generates the wire's types with protox: no protoc is needed on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["conversation", "group", "inbox", "presence", "receipt", "sync"]
        .map(|area| format!("proto/godwit/{area}/v1/{area}.proto"));
    for file in &files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(&files, ["proto"])?;
    prost_build::Config::new().bytes(["."]).compile_fds(descriptors)?;
    Ok(())
}
