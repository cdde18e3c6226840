//! The certificate and the key that the app shows: given in two PEM files, or made for it. One that is made is its own
//! issuer, so it is also what a client has to trust; of a fleet one is made for all, or a client would meet another at each
//! connection.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate with those that lead to its issuer after it, and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    certificates: String,
    key: String,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("a certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    #[error("the certificate or its key is not PEM: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    #[error("the certificate and its key do not serve: {0}")]
    Unfit(rustls::Error),
}

impl Identity {
    /// One of this machine's loopback names and the address it is reached at.
    pub(crate) fn made(listen: IpAddr) -> Result<Self, IdentityError> {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let listen = listen.to_string();
        if !names.contains(&listen) {
            names.push(listen);
        }
        let made = rcgen::generate_simple_self_signed(names)?;
        Ok(Self { certificates: made.cert.pem(), key: made.signing_key.serialize_pem() })
    }

    pub(crate) fn load(certificates: &Path, key: &Path) -> Result<Self, IdentityError> {
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|source| IdentityError::File { path: path.to_owned(), source })
        };
        Ok(Self { certificates: read(certificates)?, key: read(key)? })
    }

    /// Puts both where [`Self::load`] finds them.
    pub(crate) fn keep(&self, certificates: &Path, key: &Path) -> Result<(), IdentityError> {
        self.tell(certificates)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(key);
        file.and_then(|mut file| file.write_all(self.key.as_bytes()))
            .map_err(|source| IdentityError::File { path: key.to_owned(), source })
    }

    /// Writes the certificate, which is no secret, where a client can read what to trust.
    pub(crate) fn tell(&self, path: &Path) -> Result<(), IdentityError> {
        fs::write(path, &self.certificates)
            .map_err(|source| IdentityError::File { path: path.to_owned(), source })
    }

    pub(super) fn read(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), IdentityError> {
        let chain = CertificateDer::pem_slice_iter(self.certificates.as_bytes()).collect::<Result<_, _>>()?;
        Ok((chain, PrivateKeyDer::from_pem_slice(self.key.as_bytes())?))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::Identity;

    #[test]
    fn what_is_kept_is_loaded_again_and_the_key_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        let made = Identity::made("127.0.0.2".parse().unwrap()).unwrap();
        made.keep(&place("cert"), &place("key")).unwrap();
        let loaded = Identity::load(&place("cert"), &place("key")).unwrap();
        assert_eq!(loaded.read().unwrap(), made.read().unwrap());
        assert_eq!(std::fs::metadata(place("key")).unwrap().permissions().mode() & 0o777, 0o600);
        let absent = Identity::load(&place("cert"), &place("nothing")).err().unwrap().to_string();
        assert!(absent.contains("nothing"), "{absent}");
    }
}
