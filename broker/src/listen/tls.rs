//! TLS 1.2 and 1.3 by rustls, with a certificate that can be changed while running.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// A server's certificate chain and key, from two PEM files, for any number of listeners.
///
/// Clones share one certificate: [`Tls::reload`] on any of them is seen by all.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
}

/// Why certificate and key cannot be used. Names the file; the way out is to mend it and to load
/// again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read, or is not PEM.
    #[error("cannot read the TLS {what} from {}: {reason}", path.display())]
    Read {
        /// `certificate` or `key`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system or the parser said.
        reason: String,
    },
    /// The file has no certificate in it.
    #[error("{} holds no PEM certificate", path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// Key and certificate do not belong together, or are of a kind that is not supported.
    #[error("the key {} does not fit the certificate {}: {reason}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls said.
        reason: String,
    },
    /// The TLS library refuses its own defaults: a defect.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[source] rustls::Error),
}

struct Current {
    certificate: PathBuf,
    key: PathBuf,
    loaded: RwLock<Arc<CertifiedKey>>,
}

impl Tls {
    /// Reads a chain (the server's own certificate first) and its key (PKCS #8, PKCS #1 or SEC1)
    /// from PEM files. Reads files in the calling thread.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let loaded = RwLock::new(read(certificate, key)?);
        let current =
            Arc::new(Current { certificate: certificate.to_owned(), key: key.to_owned(), loaded });
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(Error::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), current })
    }

    /// Reads both files again. New handshakes get the new certificate; live connections stay as
    /// they are. On an error the earlier certificate stays in use.
    pub fn reload(&self) -> Result<(), Error> {
        let fresh = read(&self.current.certificate, &self.current.key)?;
        *self.current.loaded.write() = fresh;
        Ok(())
    }

    /// Shakes hands on an accepted connection that carries something else than MQTT. It may take as
    /// long as the peer likes: bound it.
    pub async fn accept(
        &self,
        tcp: TcpStream,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>> {
        self.acceptor.accept(tcp).await
    }

    pub(super) const fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.current.certificate).finish()
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Current").field(&self.certificate).finish()
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.loaded.read()))
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, Error> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| unreadable("certificate", certificate, &e))?;
    if chain.is_empty() {
        return Err(Error::Empty { path: certificate.to_owned() });
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable("key", key, &e))?;
    let pair = CertifiedKey::from_der(chain, secret, &ring::default_provider()).map_err(|e| {
        Error::Mismatch {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            reason: e.to_string(),
        }
    })?;
    Ok(Arc::new(pair))
}

fn unreadable(what: &'static str, path: &Path, error: &pem::Error) -> Error {
    let reason = match error {
        pem::Error::Io(e) => e.to_string(),
        pem::Error::NoItemsFound => "there is none in it".to_owned(),
        other => other.to_string(),
    };
    Error::Read { what, path: path.to_owned(), reason }
}
