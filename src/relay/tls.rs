//! TLS: certificate and key of the HTTP server, and the authorities that bots are trusted by. Read once, at start.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
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
    /// The file of authorities.
    #[error("AGENT_STREAM_CA={path}: {why}")]
    Authorities {
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

/// A client configuration that trusts these authorities and no other, TLS 1.2 and 1.3.
pub fn client_config(authorities: &Path) -> Result<ClientConfig, TlsError> {
    let problem = |why: String| TlsError::Authorities { path: authorities.display().to_string(), why };
    let certificates = CertificateDer::pem_file_iter(authorities)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| problem(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| problem(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(problem("no certificate in it".to_owned()));
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| problem(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::relay::testing::TempDir;

    #[test]
    fn authorities_that_cannot_be_used_are_named_with_their_setting() {
        let dir = TempDir::new();
        let file = dir.path().join("ca.pem");
        for content in
            [None, Some(""), Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")]
        {
            if let Some(content) = content {
                fs::write(&file, content).expect("a file in a folder of our own");
            }
            let error = client_config(&file).expect_err("there is no authority in it").to_string();
            assert!(error.starts_with(&format!("AGENT_STREAM_CA={}: ", file.display())), "{error}");
        }
    }
}
