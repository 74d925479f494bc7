use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::sign::any_eddsa_type;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::sign::SigningKey;
use tokio_rustls::rustls::{SignatureAlgorithm, SignatureScheme};

// X.509 as far as a test needs it: Ed25519, one name in an issuer, DER written out.
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTF8: u8 = 0x0c;
const TIME: u8 = 0x18;
const ED25519: [u8; 3] = [0x2b, 0x65, 0x70];
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1d, 0x13];
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1d, 0x11];

/// From and to.
pub type Validity = (&'static str, &'static str);
pub const VALID: Validity = ("20200101000000Z", "21200101000000Z");
pub const EXPIRED: Validity = ("20200101000000Z", "20210101000000Z");

/// An authority that is known only where it is configured.
pub struct Authority {
    name: String,
    key: Arc<dyn SigningKey>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), key: key(name).0 }
    }

    /// Its own certificate, as an operator has it in a file.
    pub fn pem(&self) -> String {
        let is_authority = der(SEQUENCE, &[&der(BOOLEAN, &[&[0xff]])]);
        let certificate = self.certificate(&self.name, &*self.key, VALID, &BASIC_CONSTRAINTS, &is_authority);
        let text = BASE64_STANDARD.encode(certificate);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    }

    /// What a server of this name shows.
    pub fn server(&self, host: &str, validity: Validity) -> Arc<ServerConfig> {
        let (server, pkcs8) = key(host);
        let names = der(SEQUENCE, &[&der(0x82, &[host.as_bytes()])]);
        let certificate = self.certificate(host, &*server, validity, &SUBJECT_ALT_NAME, &names);
        let config = ServerConfig::builder().with_no_client_auth();
        Arc::new(
            config.with_single_cert(vec![CertificateDer::from(certificate)], pkcs8).expect("a key that fits"),
        )
    }

    fn certificate(
        &self,
        subject: &str,
        key: &dyn SigningKey,
        (from, to): Validity,
        extension: &[u8],
        value: &[u8],
    ) -> Vec<u8> {
        let algorithm = der(SEQUENCE, &[&der(OID, &[&ED25519])]);
        let name = |name: &str| {
            let pair = der(SEQUENCE, &[&der(OID, &[&COMMON_NAME]), &der(UTF8, &[name.as_bytes()])]);
            der(SEQUENCE, &[&der(SET, &[&pair])])
        };
        let extension = der(SEQUENCE, &[&der(OID, &[extension]), &der(OCTET_STRING, &[value])]);
        let seen = der(
            SEQUENCE,
            &[
                &der(0xa0, &[&der(INTEGER, &[&[2]])]),
                &der(INTEGER, &[&[1]]),
                &algorithm,
                &name(&self.name),
                &der(SEQUENCE, &[&der(TIME, &[from.as_bytes()]), &der(TIME, &[to.as_bytes()])]),
                &name(subject),
                &key.public_key().expect("a public key"),
                &der(0xa3, &[&der(SEQUENCE, &[&extension])]),
            ],
        );
        let signer = self.key.choose_scheme(&[SignatureScheme::ED25519]).expect("Ed25519");
        let signature = signer.sign(&seen).expect("a signature");
        der(SEQUENCE, &[&seen, &algorithm, &der(BIT_STRING, &[&[0], &signature])])
    }
}

/// The key of this owner: no secret at all.
fn key(owner: &str) -> (Arc<dyn SigningKey>, PrivateKeyDer<'static>) {
    let mut seed = [7; 32];
    seed.iter_mut().zip(owner.bytes()).for_each(|(to, from)| *to = from);
    let private = der(OCTET_STRING, &[&der(OCTET_STRING, &[&seed])]);
    let pkcs8 = der(SEQUENCE, &[&der(INTEGER, &[&[0]]), &der(SEQUENCE, &[&der(OID, &[&ED25519])]), &private]);
    let pkcs8 = PrivatePkcs8KeyDer::from(pkcs8);
    let key = any_eddsa_type(&pkcs8).expect("a key");
    assert_eq!(key.algorithm(), SignatureAlgorithm::ED25519);
    (key, pkcs8.into())
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let mut out = match u8::try_from(length) {
        Ok(short) if short < 0x80 => vec![tag, short],
        Ok(short) => vec![tag, 0x81, short],
        Err(_) => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    out.extend(content);
    out
}
