//! A certificate for localhost that signs itself, made once for a data directory.

use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use crate::failure::{Failure, Result};
use crate::files;

/// The certificate's and the key's file, made if they are not there.
///
/// The key is written first: a certificate without its key is made anew with it.
pub(super) fn ensure(data_dir: &Path) -> Result<(PathBuf, PathBuf)> {
    let (cert, key) = (data_dir.join("dev-cert.pem"), data_dir.join("dev-key.pem"));
    if !(cert.exists() && key.exists()) {
        let (cert_pem, key_pem) = make().map_err(|error| {
            Failure::new(format!("no certificate can be made: {error}"), "This is a defect.")
        })?;
        files::replace(&key, &key_pem)?;
        files::replace(&cert, &cert_pem)?;
    }
    Ok((cert, key))
}

fn make() -> std::result::Result<(String, String), rcgen::Error> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "godwit dev (localhost only)");
    let key = KeyPair::generate()?;
    let cert = params.self_signed(&key)?;
    Ok((cert.pem(), key.serialize_pem()))
}
