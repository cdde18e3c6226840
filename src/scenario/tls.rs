//! Which HTTP and which TLS the target is spoken to in: `target.http_version` and `target.tls`. Certificates and keys are read here, so
//! that a file that is missing or holds something else is found by `check` and not by the first user.

use super::builder::Builder;
use super::compose::Files;
use super::document::Node;
use super::keys;
use super::plan::{ClientCertificate, HttpVersion, TargetKind, TlsRules};
use super::problem::Source;
use super::reader::{self, Fields};
use crate::limits;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::path::Path;
use std::sync::Arc;

/// Where paths of the scenario lead from, and who reads what they lead to.
pub(super) struct Home<'a> {
    pub(super) sources: &'a [Source],
    pub(super) files: Files<'a>,
}

#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Version {
    Tls12,
    Tls13,
}

const VERSIONS: [(&str, Version); 2] = [("1.2", Version::Tls12), ("1.3", Version::Tls13)];

impl Builder<'_> {
    pub(super) fn http_version(&mut self, target: &Fields<'_>, kind: Option<&TargetKind>) -> HttpVersion {
        let Some(node) = target.get("http_version") else { return HttpVersion::Auto };
        let choices = [
            ("auto", HttpVersion::Auto),
            ("1.1", HttpVersion::Http1),
            ("2", HttpVersion::Http2),
            ("2.0", HttpVersion::Http2),
        ];
        let version = reader::word(node, "`http_version`", &choices, &mut self.sink);
        if version == Some(HttpVersion::Http2) && matches!(kind, Some(TargetKind::Bundled { .. })) {
            let help = "leave it out, or name a target of your own by its URL";
            self.sink.error(node.span, "the bundled target speaks HTTP/1.1 only", help);
        }
        version.unwrap_or(HttpVersion::Auto)
    }

    pub(super) fn tls(&mut self, node: Option<&Node>, home: &Home<'_>) -> TlsRules {
        let mut rules = TlsRules {
            verify: true,
            roots: None,
            client: None,
            tls12: true,
            tls13: true,
            server_name: None,
            resumption: true,
        };
        let Some(fields) = node.and_then(|node| Fields::open(node, &keys::TLS, &mut self.sink)) else {
            return rules;
        };
        let flag = |builder: &mut Self, key: &str| {
            let value = fields
                .get(key)
                .and_then(|node| reader::boolean(node, &format!("`{key}`"), &mut builder.sink));
            value.unwrap_or(true)
        };
        rules.verify = flag(self, "verify");
        rules.resumption = flag(self, "resumption");
        if let Some(node) = fields.get("ca") {
            rules.roots = self.certificates(node, home);
            if !rules.verify {
                let help = "leave `verify: false` out, or leave `ca` out";
                self.sink.error(
                    fields.key_span("ca"),
                    "`ca` is not looked at when nothing is verified",
                    help,
                );
            }
        }
        rules.client = self.client_certificate(&fields, home);
        self.versions(&fields, &mut rules);
        if let Some(node) = fields.get("server_name")
            && let Some(name) = self.fixed(node, "a server name")
        {
            if ServerName::try_from(name.as_str()).is_err() {
                let help = "write a host name such as shop.example";
                self.sink.error(node.span, format!("`{name}` is not a name a certificate can be for"), help);
            }
            rules.server_name = Some(name);
        }
        rules
    }

    fn versions(&mut self, fields: &Fields<'_>, rules: &mut TlsRules) {
        let read = |builder: &mut Self, key: &str| {
            let node = fields.get(key)?;
            reader::word(node, &format!("`{key}`"), &VERSIONS, &mut builder.sink)
        };
        let min = read(self, "min_version").unwrap_or(Version::Tls12);
        let max = read(self, "max_version").unwrap_or(Version::Tls13);
        if min > max {
            let help = "the versions are 1.2 and 1.3";
            self.sink.error(fields.key_span("min_version"), "no version of TLS is left to speak", help);
            return;
        }
        (rules.tls12, rules.tls13) = (min == Version::Tls12, max == Version::Tls13);
    }

    fn client_certificate(&mut self, fields: &Fields<'_>, home: &Home<'_>) -> Option<Arc<ClientCertificate>> {
        let (certificate, key) = match (fields.get("client_cert"), fields.get("client_key")) {
            (None, None) => return None,
            (Some(certificate), Some(key)) => (certificate, key),
            (certificate, _) => {
                let (there, missing) = match certificate {
                    Some(_) => ("client_cert", "client_key"),
                    None => ("client_key", "client_cert"),
                };
                self.sink.error(
                    fields.key_span(there),
                    format!("`{there}` is of no use without `{missing}`"),
                    "give both: client_cert: user.pem, client_key: user.key; they may be the same file",
                );
                return None;
            }
        };
        let certificates = self.certificates(certificate, home);
        let key = self.private_key(key, home);
        Some(Arc::new(ClientCertificate { certificates: certificates?, key: key? }))
    }

    fn certificates(&mut self, node: &Node, home: &Home<'_>) -> Option<Vec<CertificateDer<'static>>> {
        let (path, bytes) = self.pem_file(node, home)?;
        match CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>() {
            Ok(certificates) if !certificates.is_empty() => Some(certificates),
            Ok(_) => self.not_pem(node, &path, "certificate", "BEGIN CERTIFICATE", None),
            Err(error) => self.not_pem(node, &path, "certificate", "BEGIN CERTIFICATE", Some(error)),
        }
    }

    fn private_key(&mut self, node: &Node, home: &Home<'_>) -> Option<PrivateKeyDer<'static>> {
        let (path, bytes) = self.pem_file(node, home)?;
        match PrivateKeyDer::from_pem_slice(&bytes) {
            Ok(key) => Some(key),
            Err(pem::Error::NoItemsFound) => {
                self.not_pem(node, &path, "unencrypted private key", "BEGIN PRIVATE KEY", None)
            }
            Err(error) => {
                self.not_pem(node, &path, "unencrypted private key", "BEGIN PRIVATE KEY", Some(error))
            }
        }
    }

    fn pem_file(&mut self, node: &Node, home: &Home<'_>) -> Option<(String, Vec<u8>)> {
        let name = self.fixed(node, "a PEM file")?;
        let from = home.sources.get(usize::from(node.span.source)).map_or("", |source| source.name.as_str());
        let path = Path::new(from).parent().unwrap_or(Path::new("")).join(&name);
        match (home.files)(&path, limits::PEM_BYTES_MAX) {
            Ok(bytes) => Some((path.display().to_string(), bytes)),
            Err(reason) => {
                let help = "paths are relative to the file that names them";
                self.sink.error(node.span, format!("cannot read `{}`: {reason}", path.display()), help);
                None
            }
        }
    }

    fn not_pem<T>(
        &mut self,
        node: &Node,
        path: &str,
        what: &str,
        begins: &str,
        error: Option<pem::Error>,
    ) -> Option<T> {
        let because = error.map(|error| format!(": {error}")).unwrap_or_default();
        let help = format!("a PEM file with a line -----{begins}----- is wanted");
        self.sink.error(node.span, format!("`{path}` holds no {what}{because}"), help);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::plan::{Connections, Plan};
    use crate::scenario::problem::Problems;
    use crate::scenario::{Overrides, load_with};

    fn files(path: &Path, _: u64) -> Result<Vec<u8>, String> {
        let issued =
            || rcgen::generate_simple_self_signed(vec!["shop.example".to_owned()]).expect("a certificate");
        match path.to_str() {
            Some("pki/ca.pem") => Ok(issued().cert.pem().into_bytes()),
            Some("pki/both.pem") => {
                let issued = issued();
                Ok(format!("{}{}", issued.cert.pem(), issued.signing_key.serialize_pem()).into_bytes())
            }
            Some("pki/torn.pem") => Ok(b"-----BEGIN CERTIFICATE-----\nAAAA".to_vec()),
            Some("pki/note.txt") => Ok(b"see the wiki".to_vec()),
            _ => Err("there is no such file".into()),
        }
    }

    fn plan(target: &str) -> Result<Plan, Problems> {
        let text = format!(
            "plimsoll: 1\ntarget: {{{target}}}\nscenarios: {{a: {{steps: [{{get: /}}]}}}}\n\
             load: [{{run: a, executor: closed, stages: [{{to: 1, over: 1s}}]}}]\n"
        );
        let env = |_: &str| None;
        load_with("pki/s.yaml", &text, &Overrides::none(&env), &files)
    }

    #[test]
    fn what_is_not_said_is_usual() {
        let target = plan("http: \"https://127.0.0.1\"").expect("a plan").target;
        assert_eq!((target.http_version, target.connections), (HttpVersion::Auto, Connections::PerUser));
        let tls = target.tls;
        assert!(
            tls.verify
                && tls.resumption
                && tls.tls12
                && tls.tls13
                && tls.roots.is_none()
                && tls.client.is_none()
        );
    }

    #[test]
    fn everything_at_once_and_the_key_is_not_shown() {
        let target = plan(
            "http: \"https://127.0.0.1\", http_version: 2, connections: shared, tls: {ca: ca.pem, client_cert: both.pem, \
             client_key: both.pem, server_name: shop.example, min_version: 1.3, max_version: 1.3, resumption: false}",
        )
        .expect("a plan")
        .target;
        assert_eq!((target.http_version, target.connections), (HttpVersion::Http2, Connections::Shared));
        let tls = target.tls;
        assert_eq!((tls.tls12, tls.tls13, tls.resumption), (false, true, false));
        assert_eq!(tls.roots.as_ref().map(Vec::len), Some(1));
        assert_eq!(tls.server_name.as_deref(), Some("shop.example"));
        let client = tls.client.expect("a client certificate");
        assert_eq!(client.certificates.len(), 1);
        assert!(!format!("{:?}", client.key).contains(&format!("{:?}", &client.key.secret_der()[..4])));
    }

    #[test]
    fn every_mistake_has_its_place() {
        for (target, said) in [
            ("tls: {ca: gone.pem}", "cannot read `pki/gone.pem`: there is no such file"),
            ("tls: {ca: note.txt}", "`pki/note.txt` holds no certificate"),
            ("tls: {ca: torn.pem}", "`pki/torn.pem` holds no certificate"),
            ("tls: {client_cert: both.pem}", "`client_cert` is of no use without `client_key`"),
            ("tls: {client_key: both.pem}", "`client_key` is of no use without `client_cert`"),
            (
                "tls: {client_cert: both.pem, client_key: ca.pem}",
                "`pki/ca.pem` holds no unencrypted private key",
            ),
            ("tls: {verify: false, ca: ca.pem}", "`ca` is not looked at when nothing is verified"),
            ("tls: {min_version: 1.3, max_version: 1.2}", "no version of TLS is left to speak"),
            ("tls: {min_version: 1.1}", "`min_version` is not `1.1`"),
            ("tls: {server_name: \"a b\"}", "`a b` is not a name a certificate can be for"),
            ("tls: {cert: both.pem}", "write `client_cert`"),
            ("http_version: 3", "`http_version` is not `3`"),
            ("connections: pooled", "`connections` is not `pooled`"),
        ] {
            let problems = plan(&format!("http: \"https://127.0.0.1\", {target}")).expect_err(target);
            let shown = problems.render(false, 200);
            assert!(shown.contains(said), "{target}: {shown}");
        }
        let bundled = plan("bundled: baseline, http_version: 2").expect_err("HTTP/1.1 only");
        assert!(bundled.render(false, 200).contains("the bundled target speaks HTTP/1.1 only"));
    }
}
