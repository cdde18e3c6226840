//! The lines in which a process says where it listens.

use std::io::{self, Write};
use std::net::SocketAddr;

use crate::profile::{Profile, TlsVersion};

/// What clients speak.
pub(super) fn scheme(profile: &Profile) -> &'static str {
    match profile.dials().tls.version {
        TlsVersion::Off => "http",
        TlsVersion::Tls13 => "https",
    }
}

/// Says where it listens, where replicas behind a gateway tell their metrics to who cannot get past that, and where it listens for faults.
pub(super) fn announced(
    out: &mut dyn Write,
    scheme: &str,
    address: SocketAddr,
    inner: Option<SocketAddr>,
    faults: Option<SocketAddr>,
) -> io::Result<()> {
    writeln!(out, "listening {scheme}://{address}")?;
    if let Some(inner) = inner {
        writeln!(out, "metrics http://{inner}")?;
    }
    if let Some(faults) = faults {
        writeln!(out, "faults http://{faults}")?;
    }
    out.flush()
}
