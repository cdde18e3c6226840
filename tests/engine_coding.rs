//! Bodies in a content coding: decoded where a check or an extract looks at them, and nowhere else.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod transport_subjects;

use std::io::Write;
use transport_subjects::lines::server;
use transport_subjects::shard::one_user;

#[test]
fn bodies_are_decoded_where_somebody_looks() {
    let gzipped: &[u8] = &[
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0x56, 0xca, 0xcf, 0x56, 0xb2, 0x2a, 0x29, 0x2a, 0x4d, 0xad,
        5, 0, 0x90, 0x5f, 0xd4, 0xa7, 0xb, 0, 0, 0,
    ];
    let answer = |coding: &str, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let brotli: &[u8] =
        &[0x0b, 0x05, 0x80, 0x7b, 0x22, 0x6f, 0x6b, 0x22, 0x3a, 0x74, 0x72, 0x75, 0x65, 0x7d, 0x03];
    // A frame of one raw block (RFC 8878).
    let zstd = [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, 11, 0x59, 0, 0], &br#"{"ok":true}"#[..]].concat();
    for (coding, body, step, failure) in [
        ("gzip", gzipped, "expect: {body: $.ok == true}", None),
        ("br", brotli, "expect: {body: $.ok == true}", None),
        ("zstd", &zstd, "extract: {ok: $.ok}", None),
        (
            "gzip",
            &gzipped[..20],
            "expect: {body: $.ok == true}",
            Some(("protocol", "the body is cut off inside its gzip coding")),
        ),
        (
            "br",
            gzipped,
            "extract: {ok: $.ok}",
            Some(("protocol", "the body is not what its content-encoding says: br")),
        ),
        (
            "rot13",
            b"{}",
            "extract: {ok: $.ok}",
            Some((
                "protocol",
                "the body cannot be decoded: its content-encoding is none of gzip, deflate, br and zstd",
            )),
        ),
        ("rot13", b"{}", "expect: {status: 200}", None),
        (
            "rot13",
            b"{}",
            "expect: {status: 201, body: $.ok exists}",
            Some(("status", "status 200, expected 201")),
        ),
    ] {
        let bytes = answer(coding, body);
        let wire = bytes.len() as u64;
        let (addr, _) = server(move |_, _, socket| {
            let _ = socket.write_all(&bytes);
        });
        let ran = one_user(addr, &format!("      - {{get: /, {step}}}\n"));
        let failures = ran.failures();
        let found = failures.first().map(|f| (f.1.as_str(), f.2.as_str()));
        assert_eq!(found, failure, "{coding}, {step}");
        assert_eq!(ran.sum.requests.bytes_received, wire, "bytes are those of the wire");
    }
}
