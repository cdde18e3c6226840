//! A jar takes any `set-cookie`, and what it sends is one line that no cookie can end early.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::transport::cookies::{Jar, Request};

fuzz_target!(|input: (Vec<String>, String)| {
    let (cookies, path) = input;
    let request = Request { host: "shop.example", path: &path, tls: false, now_ns: 0 };
    let mut jar = Jar::new();
    for cookie in &cookies {
        // A head's values have no line ends.
        if !cookie.contains(['\r', '\n', '\0']) {
            jar.store(cookie, request, 1_700_000_000);
        }
    }
    let mut line = Vec::new();
    jar.write_header(request, &mut line);
    let ends = line.iter().filter(|&&byte| byte == b'\n' || byte == b'\r').count();
    assert!(line.is_empty() || ends == 2 && line.ends_with(b"\r\n"), "{}", String::from_utf8_lossy(&line));
});
