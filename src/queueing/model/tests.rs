//! Models that are refused, and how.

use super::read::read;
use super::*;

#[test]
fn the_whole_format() {
    let network = read(
        r#"{"users":[1,10],"think_s":1.5,
            "stations":[{"name":"cpu","demand_s":0.01,"servers":4},{"name":"db","demand_s":2e-2,"servers":"delay"},{"name":"disk","demand_s":0.001}],
            "pools":[{"name":"inner","slots":5,"guards":["db"],"timeout_s":null},{"name":"outer","slots":50,"guards":["disk","db"],"timeout_s":2}]}"#,
    )
    .unwrap();
    assert_eq!(network.load, Load::Closed { users: Populations::Several(vec![1, 10]), think_s: 1.5 });
    let servers: Vec<Servers> = network.stations.iter().map(|station| station.servers).collect();
    assert_eq!(servers, [Servers::Count(4), Servers::Delay, Servers::Count(1)]);
    let inner = Branch { stations: vec![1], pools: Vec::new() };
    let outer = Branch { stations: vec![2], pools: vec![(0, inner)] };
    assert_eq!(network.root, Branch { stations: vec![0], pools: vec![(1, outer)] });
    assert!(!network.is_product_form());
    let open = read(r#"{"open":{"rate_per_s":7},"stations":[{"name":"a","demand_s":0.1}]}"#).unwrap();
    assert_eq!(open.load, Load::Open { rate_per_s: 7.0 });
    assert!(open.is_product_form());
}

/// Of two pools around the same stations the first of the list is outside.
#[test]
fn equal_pools_lie_in_the_order_of_the_list() {
    let network = read(
        r#"{"users":9,"stations":[{"name":"a","demand_s":0.1}],"pools":[{"name":"p","slots":5,"guards":["a"]},{"name":"q","slots":2,"guards":["a"]}]}"#,
    )
    .unwrap();
    let inner = Branch { stations: vec![0], pools: Vec::new() };
    let outer = Branch { stations: Vec::new(), pools: vec![(1, inner)] };
    assert_eq!(network.root, Branch { stations: Vec::new(), pools: vec![(0, outer)] });
}

/// Every refusal, as it is told.
#[test]
fn refusals() {
    let stations =
        r#""stations":[{"name":"a","demand_s":0.1},{"name":"b","demand_s":0.1},{"name":"c","demand_s":0.1}]"#;
    let of = |rest: &str| format!("{{{rest},{stations}}}");
    let models = [
        String::new(),
        "[]".to_owned(),
        r#"[5,1,null,[],[]]"#.to_owned(),
        of(r#""users":5"#) + "x",
        of(r#""users":NaN"#),
        of(r#""users":5,"think_s":1e999"#),
        of(r#""users":5,"thinks_s":1"#),
        of(r#""users":5,"users":6"#),
        of(r#""users":"five""#),
        of(r#""users":5.5"#),
        of(r#""users":-5"#),
        of(r#""users":0"#),
        of(r#""users":[10,0]"#),
        of(r#""users":[]"#),
        of(r#""users":99999999999"#),
        of(r#""think_s":1"#),
        of(r#""users":5,"open":{"rate_per_s":1}"#),
        of(r#""open":{"rate_per_s":0}"#),
        of(r#""open":{"rate_per_s":1},"think_s":1"#),
        of(r#""users":5,"think_s":-1"#),
        r#"{"users":5}"#.to_owned(),
        r#"{"open":[5],"stations":[["a",0.1,1]],"pools":[["p",1,["a"],null,null,null]]}"#.to_owned(),
        r#"{"users":5,"stations":[]}"#.to_owned(),
        r#"{"users":5,"stations":[{"name":"a"}]}"#.to_owned(),
        r#"{"users":5,"stations":[{"name":" ","demand_s":0,"servers":0},{"name":"x","demand_s":-1,"servers":"two"}]}"#.to_owned(),
        r#"{"users":5,"stations":[{"name":" ","demand_s":0,"servers":0},{"name":"x","demand_s":1e9,"servers":1000000},{"name":"x","demand_s":1}]}"#.to_owned(),
        of(r#""users":5,"pools":[{"name":"p","slots":0,"guards":["a","a"],"timeout_s":0},{"name":"p","slots":5,"guards":[]},{"name":"q","slots":5,"guards":["z"]}]"#),
        of(r#""users":5,"think_s":1,"pools":[{"name":"p","slots":5,"guards":["a"],"queue_max":1000000,"retry_ratio":-1},{"name":"q","slots":1,"guards":["b"],"timeout_s":1,"retry_ratio":1}]"#),
        of(r#""open":{"rate_per_s":1},"pools":[{"name":"p","slots":5,"guards":["a","b"]},{"name":"q","slots":5,"guards":["b"],"timeout_s":1,"retry_ratio":1}]"#),
        r#"{"users":5,"stations":[{"name":"a","demand_s":0.1,"service":"normal"}]}"#.to_owned(),
        r#"{"users":5,"stations":[{"name":"a","demand_s":0.1}],"pools":[{"name":"p","slots":1,"guards":["a"],"queue_max":1}]}"#.to_owned(),
        of(r#""classes":[],"think_s":1,"pools":[{"name":"p","slots":5,"guards":["a"]}]"#),
        of(r#""classes":[["x",1,1,{}]]"#),
        r#"{"classes":[{"name":"x","users":0,"think_s":-1,"demands_s":{"a":0,"z":1}},{"name":"x","users":1}],"stations":[{"name":"a","demand_s":0.1,"servers":2},{"name":"b","demand_s":1,"service":"constant"}]}"#.to_owned(),
        of(r#""users":5,"pools":[{"name":"p","slots":5,"guards":["a","b"]},{"name":"q","slots":5,"guards":["b","c"]}]"#),
    ];
    let mut told = String::new();
    for model in models {
        told.push_str(&format!("{model}\n"));
        let faults = read(&model).expect_err("a fault");
        faults.iter().for_each(|fault| told.push_str(&format!("    {fault}\n")));
    }
    insta::assert_snapshot!(told);
}
