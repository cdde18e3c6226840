//! Time to read one response and to keep one cookie, without a socket: `cargo bench --bench http1`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plimsoll::transport::cookies::{Jar, Request};
use plimsoll::transport::{Keep, ResponseReader};
use std::hint::black_box;

const SMALL: &[u8] = b"HTTP/1.1 200 OK\r\nserver: nginx\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\ncontent-type: text/plain\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok";

fn chunked() -> Vec<u8> {
    let mut bytes =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..8 {
        bytes.extend_from_slice(b"400\r\n");
        bytes.resize(bytes.len() + 1024, b'x');
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

fn responses(criterion: &mut Criterion) {
    let chunked = chunked();
    let kept = Keep { body: true, ..Keep::default() };
    let cases: [(&str, &[u8], Keep); 3] = [
        ("small, counted", SMALL, Keep::default()),
        ("8 KiB chunked, counted", &chunked, Keep::default()),
        ("8 KiB chunked, kept", &chunked, kept),
    ];
    let mut group = criterion.benchmark_group("response");
    for (name, bytes, keep) in cases {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| ResponseReader::new(false, keep).feed(black_box(bytes)));
        });
    }
    group.bench_function("small, byte by byte", |bencher| {
        bencher.iter(|| {
            let mut reader = ResponseReader::new(false, Keep::default());
            SMALL.chunks(1).map(|byte| reader.feed(black_box(byte))).filter(Result::is_ok).count()
        });
    });
    group.finish();
}

fn cookies(criterion: &mut Criterion) {
    let request = Request { host: "shop.example", path: "/api/cart", tls: false, now_ns: 0 };
    criterion.bench_function("jar, store", |bencher| {
        let mut jar = Jar::new();
        bencher.iter(|| {
            jar.store(black_box("session=0123456789abcdef; Path=/; HttpOnly; Max-Age=3600"), request, 0)
        });
    });
    criterion.bench_function("jar, write two", |bencher| {
        let mut jar = Jar::new();
        jar.store("session=0123456789abcdef; Path=/", request, 0);
        jar.store("cart=42; Path=/api", request, 0);
        let mut head = Vec::with_capacity(256);
        bencher.iter(|| {
            head.clear();
            jar.write_header(black_box(request), &mut head);
            head.len()
        });
    });
}

criterion_group!(benches, responses, cookies);
criterion_main!(benches);
