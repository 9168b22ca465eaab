//! TLS as a collector speaks it: the certificate is looked at before it is judged, so that one that has expired can be told
//! from one that is not there.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::config::Trust;

/// The end of the last certificate that was shown, as seconds since the Unix epoch, until it is taken.
#[derive(Debug, Default)]
pub(super) struct Expiry(Mutex<Option<Duration>>);

impl Expiry {
    /// What was seen since it was last taken.
    pub(super) fn take(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, end: Option<Duration>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }
}

/// How to speak TLS with those whom `trust` believes; the end of each certificate shown is kept in `expiry`.
pub(super) fn client_config(trust: &Trust, expiry: Arc<Expiry>) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let judge: Option<Arc<dyn ServerCertVerifier>> = match trust {
        Trust::Host => Some(host_authorities(&provider)?),
        Trust::Authorities(file) => {
            let wrong = |why: String| format!("the authorities in {} cannot be used: {why}", file.display());
            let mut roots = RootCertStore::empty();
            for root in CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))? {
                let root = root.map_err(|error| wrong(error.to_string()))?;
                roots.add(root).map_err(|error| wrong(error.to_string()))?;
            }
            let judge = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone());
            Some(judge.build().map_err(|error| wrong(error.to_string()))?)
        }
        Trust::Anybody => None,
    };
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Witness { judge, schemes, expiry }))
        .with_no_client_auth();
    // A session that is resumed shows no certificate.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The host's authorities, read once: there are some 150, and each probe would have its own.
fn host_authorities(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, String> {
    static HOST: OnceLock<Arc<rustls_platform_verifier::Verifier>> = OnceLock::new();
    if let Some(known) = HOST.get() {
        return Ok(known.clone());
    }
    let made = rustls_platform_verifier::Verifier::new(provider.clone()).map_err(|error| {
        format!("this host's certificate authorities cannot be read: {error}; install ca-certificates, or name a file by `ca`")
    })?;
    Ok(HOST.get_or_init(|| Arc::new(made)).clone())
}

/// Sees every certificate, and leaves the judging to another.
#[derive(Debug)]
struct Witness {
    /// None believes anybody.
    judge: Option<Arc<dyn ServerCertVerifier>>,
    schemes: Vec<SignatureScheme>,
    expiry: Arc<Expiry>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.expiry.put(not_after(certificate));
        match &self.judge {
            Some(judge) => judge.verify_server_cert(certificate, intermediates, server, ocsp, now),
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match &self.judge {
            Some(judge) => judge.verify_tls12_signature(message, certificate, signature),
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match &self.judge {
            Some(judge) => judge.verify_tls13_signature(message, certificate, signature),
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// When a certificate ends; none if it is not one.
fn not_after(certificate: &[u8]) -> Option<Duration> {
    let certificate = Certificate::from_der(certificate).ok()?;
    Some(certificate.tbs_certificate().validity().not_after.to_unix_duration())
}

#[cfg(test)]
pub(super) mod testing {
    use std::sync::Arc;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use rustls::ServerConfig;
    use rustls::crypto::ring;
    use rustls::pki_types::PrivatePkcs8KeyDer;

    /// A server's certificate for `localhost` and 127.0.0.1 that vouches for itself until a year's first day: how to serve
    /// it, and its PEM.
    pub(in crate::signal::collector) fn server_until(year: i32) -> (Arc<ServerConfig>, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        let base64 = encode(certificate.der());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        (Arc::new(config), pem)
    }

    fn encode(bytes: &[u8]) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let word = chunk.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            for sextet in 0..4 {
                let index = (word >> (18 - 6 * sextet) & 63) as usize;
                text.push(if sextet > chunk.len() { '=' } else { ALPHABET[index].into() });
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_has_no_end() {
        assert_eq!(not_after(b"garbage"), None);
        assert_eq!(not_after(&[]), None);
    }

    #[test]
    fn authorities_that_cannot_be_read_say_which() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        let trust = Trust::Authorities(file.clone());
        let config = || client_config(&trust, Arc::default());
        assert!(config().unwrap_err().contains("ca.pem cannot be used"));
        std::fs::write(&file, "garbage").unwrap();
        assert!(config().unwrap_err().contains("ca.pem cannot be used"));
        std::fs::write(&file, testing::server_until(2100).1).unwrap();
        config().unwrap();
    }
}
