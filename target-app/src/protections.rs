//! What the protections are given besides their dials: files, and the web sites that may ask. Of a fleet the supervisor takes them; its
//! replicas find the certificate in the directory of the fleet and are passed the rest.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use crate::fleet::Membership;
use crate::guard::Origin;
use crate::profile::{Cors, Dials, Switch, TlsVersion};
use crate::tls::{Identity, IdentityError};

#[derive(Args, Clone, Debug, Default)]
pub struct Protections {
    /// A web site that may ask besides the app's own, for example `https://shop.example`; can be given several times
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    pub allow_origins: Vec<Origin>,
    /// Certificate to show, with its chain, instead of one that is made at the start (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The key of that certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Where to write the certificate (PEM) before listening, for clients that are to trust it
    #[arg(long, value_name = "FILE")]
    pub tls_out: Option<PathBuf>,
    /// Where to keep the audit log; replica N of a fleet adds `.N` [default: a directory that goes with the app]
    #[arg(long, value_name = "FILE")]
    pub audit_log: Option<PathBuf>,
}

/// A file or a site for a protection that is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{flag} is of no use without the dial {dial}")]
pub struct Idle {
    flag: &'static str,
    dial: &'static str,
}

impl Protections {
    /// Whether each has something to protect.
    pub(crate) fn fit(&self, dials: &Dials) -> Result<(), Idle> {
        let tls = (dials.tls.version == TlsVersion::Off).then_some("tls.version=1.3");
        let cors = (dials.security.cors == Cors::Off).then_some("security.cors=strict");
        let audit = (dials.audit_log.enabled == Switch::Off).then_some("audit_log.enabled=on");
        let all = [
            ("--allow-origin", !self.allow_origins.is_empty(), cors),
            ("--tls-cert", self.tls_cert.is_some(), tls),
            ("--tls-out", self.tls_out.is_some(), tls),
            ("--audit-log", self.audit_log.is_some(), audit),
        ];
        match all.into_iter().find_map(|(flag, given, dial)| Some(flag).filter(|_| given).zip(dial)) {
            Some((flag, dial)) => Err(Idle { flag, dial }),
            None => Ok(()),
        }
    }

    /// The certificate to show: given, or made for who listens at `listen`; written down for clients if that is asked for.
    pub(crate) fn identity(&self, listen: IpAddr) -> Result<Identity, IdentityError> {
        let identity = match (&self.tls_cert, &self.tls_key) {
            (Some(certificates), Some(key)) => Identity::load(certificates, key)?,
            _ => Identity::made(listen)?,
        };
        if let Some(path) = &self.tls_out {
            identity.tell(path)?;
        }
        Ok(identity)
    }

    /// The file of the audit log, if there is a place for one.
    pub(crate) fn audit_file(&self, membership: Option<&Membership>) -> Option<PathBuf> {
        match (&self.audit_log, membership) {
            (Some(path), Some(fleet)) => {
                let mut name = OsString::from(path);
                name.push(format!(".{}", fleet.place().number));
                Some(name.into())
            }
            (Some(path), None) => Some(path.clone()),
            (None, Some(fleet)) => Some(fleet.audit_file()),
            (None, None) => None,
        }
    }

    /// What a replica is passed.
    pub(crate) fn for_replicas(&self) -> Vec<OsString> {
        let origins = self.allow_origins.iter().flat_map(|origin| ["--allow-origin", origin.as_str()]);
        let audit = self.audit_log.iter().flat_map(|path| [OsString::from("--audit-log"), path.into()]);
        origins.map(OsString::from).chain(audit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Protections;
    use crate::fleet::Membership;
    use crate::profile::Profile;

    #[test]
    fn what_protects_nothing_is_refused() {
        let (off, on) = (Profile::named("baseline").unwrap(), Profile::named("hardened").unwrap());
        let path = || Some("x".into());
        let given = [
            Protections {
                allow_origins: vec!["https://a.example".parse().unwrap()],
                ..Protections::default()
            },
            Protections { tls_cert: path(), tls_key: path(), ..Protections::default() },
            Protections { tls_out: path(), ..Protections::default() },
            Protections { audit_log: path(), ..Protections::default() },
        ];
        let words = given.each_ref().map(|given| given.fit(off.dials()).unwrap_err().to_string());
        insta::assert_snapshot!(words.join("\n"), @r"
        --allow-origin is of no use without the dial security.cors=strict
        --tls-cert is of no use without the dial tls.version=1.3
        --tls-out is of no use without the dial tls.version=1.3
        --audit-log is of no use without the dial audit_log.enabled=on
        ");
        assert!(given.iter().all(|given| given.fit(on.dials()).is_ok()));
        assert!(Protections::default().fit(off.dials()).is_ok());
    }

    #[test]
    fn each_replica_has_an_audit_log_of_its_own() {
        let fleet = Membership::new("replica-2/3".parse().unwrap(), "/fleet".into());
        let given = Protections { audit_log: Some("/log/audit".into()), ..Protections::default() };
        let place = |of: &Protections, fleet| of.audit_file(fleet).map(|path| path.display().to_string());
        assert_eq!(place(&given, Some(&fleet)).as_deref(), Some("/log/audit.2"));
        assert_eq!(place(&given, None).as_deref(), Some("/log/audit"));
        assert_eq!(place(&Protections::default(), Some(&fleet)).as_deref(), Some("/fleet/audit-2.jsonl"));
        assert_eq!(place(&Protections::default(), None), None);
        assert_eq!(given.for_replicas(), ["--audit-log", "/log/audit"]);
    }
}
