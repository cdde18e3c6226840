//! A walked path leads to what the parsed body says it leads to.

use super::*;
use proptest::prelude::*;

fn tree_nodes(path: &Path, body: &str) -> Result<Vec<Json>, String> {
    let json: Json = serde_json::from_str(body).map_err(|error| error.to_string())?;
    Ok(path.any.query(&json).all().into_iter().cloned().collect())
}

fn nodes(path: &Path, body: &str) -> Result<Vec<Json>, String> {
    let mut cache = BodyCache::default();
    let found = path.nodes(body.as_bytes(), &mut cache).map_err(str::to_owned)?;
    Ok(found.into_iter().map(Node::to_json).collect())
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        (-1e9..1e9).prop_map(Json::from),
        any::<String>().prop_map(Json::from),
        Just(Json::from("")),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            prop::collection::hash_map("[a-c]|\"|\\\\|é", inner, 0..5)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

fn path() -> impl Strategy<Value = String> {
    let step = prop_oneof![
        "[a-c]".prop_map(|name| format!(".{name}")),
        Just("['a']".to_owned()),
        Just("[\"é\"]".to_owned()),
        Just("[*]".to_owned()),
        Just(".*".to_owned()),
        Just("..a".to_owned()),
        (0..3_usize).prop_map(|index| format!("[{index}]")),
        (1..3_usize).prop_map(|index| format!("[-{index}]")),
    ];
    prop::collection::vec(step, 0..4).prop_map(|steps| format!("${}", steps.concat()))
}

proptest! {
    #[test]
    fn a_walk_leads_where_the_tree_does(body in json(), path in path(), pretty in any::<bool>()) {
        let body = if pretty { format!(" {body:#}\n") } else { body.to_string() };
        let path = Path::parse(&path).expect("a path");
        let expected = tree_nodes(&path, &body);
        prop_assert_eq!(nodes(&path, &body), expected);
        let mut cache = BodyCache::default();
        for node in path.nodes(body.as_bytes(), &mut cache).expect("JSON") {
            let json = node.to_json();
            prop_assert_eq!(node.is_null(), json.is_null());
            prop_assert_eq!(node.is_empty(), Node::Parsed(&json).is_empty());
            prop_assert_eq!(node.as_f64(), json.as_f64());
            prop_assert_eq!(node.to_value(), Node::Parsed(&json).to_value());
        }
    }

    #[test]
    fn what_is_not_json_is_refused_in_the_same_words(body in json(), cut in any::<prop::sample::Index>(), path in path()) {
        let body = body.to_string();
        let at = (0..=cut.index(body.len() + 1)).rev().find(|&at| body.is_char_boundary(at)).unwrap_or(0);
        let path = Path::parse(&path).expect("a path");
        prop_assert_eq!(nodes(&path, &body[..at]), tree_nodes(&path, &body[..at]));
        let longer = format!("{body}]");
        prop_assert_eq!(nodes(&path, &longer), tree_nodes(&path, &longer));
    }
}

#[test]
fn which_paths_are_walked() {
    let walked = |text: &str| Path::parse(text).expect(text).walk.is_some();
    for text in ["$", "$.a", "$.a_1.é", "$['a b'][0]", "$[\"a\"][*].id", "$.items[12].x"] {
        assert!(walked(text), "{text}");
    }
    for text in
        ["$..a", "$.*", "$[-1]", "$[0,1]", "$[0:2]", "$[?@.a > 1]", "$['a\\'b']", "$[ 0 ]", "$['a','b']"]
    {
        assert!(!walked(text), "{text}");
    }
}

#[test]
fn what_a_body_may_do_to_a_walk() {
    let found = |path: &str, body: &str| nodes(&Path::parse(path).expect(path), body).expect(body);
    assert_eq!(found("$.a", r#"{"a": 1, "a": 2}"#), [2], "the last of a name counts");
    assert_eq!(found("$.a[*]", r#"{"a": [1, 2], "a": [3]}"#), [3]);
    assert_eq!(found("$.a[*]", r#"{"a": [1], "a": 5}"#), Vec::<Json>::new());
    assert_eq!(found("$.a", r#"{"\u0061": 1}"#), [1], "a name may be written with escapes");
    assert_eq!(found("$[*]", r#"{"b": 1, "a": 2}"#), [2, 1], "members come in the order of the tree");
    assert_eq!(found("$.b", r#"{"a": "\ud800", "b": 1}"#), [1], "half a pair is JSON by its grammar");
    for valueless in [r#"{"b": "\ud83d"}"#, r#"{"b": 1e999}"#, &format!("{{\"b\": {}}}", "9".repeat(400))] {
        let path = Path::parse("$.b").expect("a path");
        assert_eq!(nodes(&path, valueless), tree_nodes(&path, valueless), "told, and not `null`");
        assert!(nodes(&path, valueless).is_err(), "{valueless}");
        let inside = format!("[{valueless}]");
        assert_eq!(found("$[0]", &inside), [valueless], "its text stands for what has no value");
    }
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    assert!(nodes(&Path::parse("$[0][0]").expect("a path"), &format!("{deep}]")).is_err());
    let path = Path::parse("$.a").expect("a path");
    assert!(path.nodes(b"{\"a\": \"\xff\"}", &mut BodyCache::default()).is_err(), "not UTF-8");
}
