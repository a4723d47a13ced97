//! The TLS side of the HTTP server: reads certificate and key once, at start.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::config::TlsFiles;

/// Why there is no TLS server. Names the setting.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate file.
    #[error("TLS_CERT={path}: {why}")]
    Cert {
        /// Where.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The key file, or a key that does not fit the certificate.
    #[error("TLS_KEY={path}: {why}")]
    Key {
        /// Where.
        path: String,
        /// What is wrong.
        why: String,
    },
}

/// A server configuration without client certificates, TLS 1.2 and 1.3.
pub fn server_config(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let cert_error = |why: String| TlsError::Cert { path: files.cert.display().to_string(), why };
    let key_error = |why: String| TlsError::Key { path: files.key.display().to_string(), why };
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| cert_error(error.to_string()))?;
    if chain.is_empty() {
        return Err(cert_error("no certificate in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| key_error(error.to_string()))?;
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| cert_error(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| key_error(error.to_string()))
}
