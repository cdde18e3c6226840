//! A path that is walked over the bytes of a body leads to what the same path, spelled so that it is asked of the tree, leads to.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::scenario::json::{BodyCache, Path};
use std::sync::LazyLock;

/// A slice of one element is no path that can be walked.
static PATHS: LazyLock<Vec<(Path, Path)>> = LazyLock::new(|| {
    let path = |text: &str| Path::parse(text).expect("a path");
    [("$[0]", "$[0:1]"), ("$.a[1]", "$.a[1:2]"), ("$[*].a[0]", "$[*].a[0:1]"), ("$.a.b[0]", "$.a.b[0:1]")]
        .map(|(walked, asked)| (path(walked), path(asked)))
        .into()
});

fuzz_target!(|body: &[u8]| {
    for (walked, asked) in PATHS.iter() {
        let (mut here, mut there) = (BodyCache::default(), BodyCache::default());
        let found = walked.nodes(body, &mut here);
        // Where the path does not lead, a walk lets more pass.
        if let Ok(wanted) = asked.nodes(body, &mut there) {
            let found = found.expect("what is JSON to the tree is JSON");
            let values = |nodes: Vec<plimsoll::scenario::json::Node<'_>>| {
                nodes.into_iter().map(|node| (node.to_json(), node.is_empty())).collect::<Vec<_>>()
            };
            assert_eq!(values(found), values(wanted));
        }
    }
});
