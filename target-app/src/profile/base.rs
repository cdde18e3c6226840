//! The file of a profile, and what stands on another: with `base = "baseline"` a file says what it is and sets the dials that
//! differ, so what two profiles have in common stands in one place and cannot drift apart.

use serde::Deserialize;
use toml::{Spanned, Table, Value};

use super::ProfileError;
use super::dial::{did_you_mean, nearest};

/// What one file says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    base: Option<Spanned<String>>,
    description: String,
    replicas: Option<u32>,
    supervised: Option<bool>,
    on: Vec<String>,
    off: Vec<String>,
    #[serde(default)]
    dials: Table,
}

/// A file with all that its bases add to it.
pub(super) struct Resolved {
    pub(super) base: Option<String>,
    pub(super) description: String,
    pub(super) replicas: u32,
    pub(super) supervised: bool,
    pub(super) on: Vec<String>,
    pub(super) off: Vec<String>,
    pub(super) dials: Table,
}

/// Reads the profile `name` from the text of its file and of those it stands on, which are looked up among `shipped`.
pub(super) fn resolve(name: &str, text: &str, shipped: &[(&str, &str)]) -> Result<Resolved, ProfileError> {
    resolve_over(&[name], text, shipped)
}

/// `chain` is the profile asked for, its base, that one's base and so on to the one whose file this is.
fn resolve_over(chain: &[&str], text: &str, shipped: &[(&str, &str)]) -> Result<Resolved, ProfileError> {
    let name = chain.last().copied().unwrap_or_default();
    let syntax = |reason: String| ProfileError::Syntax { name: name.to_owned(), reason };
    let file: File = toml::from_str(text).map_err(|e| syntax(e.to_string()))?;
    let under = match &file.base {
        None => None,
        Some(base) => {
            let refused = |reason: String| {
                let line = text[..base.span().start].matches('\n').count() + 1;
                syntax(format!("line {line}: base {:?} {reason}", base.get_ref()))
            };
            let chain: Vec<&str> = chain.iter().copied().chain([base.get_ref().as_str()]).collect();
            if chain[..chain.len() - 1].contains(&base.get_ref().as_str()) {
                return Err(refused(format!("leads in a circle: {}", chain.join(" -> "))));
            }
            let names = || shipped.iter().map(|(name, _)| *name);
            let Some((_, text)) = shipped.iter().find(|(name, _)| *name == base.get_ref()) else {
                let suggestion = did_you_mean(nearest(base.get_ref(), names()));
                let known = names().collect::<Vec<_>>().join(", ");
                return Err(refused(format!("is no profile{suggestion}; there is: {known}")));
            };
            Some(resolve_over(&chain, text, shipped)?)
        }
    };
    let replicas = file.replicas.or(under.as_ref().map(|under| under.replicas));
    let supervised = file.supervised.or(under.as_ref().map(|under| under.supervised));
    let mut dials = under.map_or_else(Table::new, |under| under.dials);
    lay_over(&mut dials, file.dials);
    Ok(Resolved {
        base: file.base.map(Spanned::into_inner),
        description: file.description.trim().to_owned(),
        replicas: replicas
            .ok_or_else(|| syntax("replicas is missing, and there is no base to have it from".to_owned()))?,
        supervised: supervised.unwrap_or(false),
        on: file.on,
        off: file.off,
        dials,
    })
}

/// Sets in `under` what `over` sets, table by table.
fn lay_over(under: &mut Table, over: Table) {
    for (name, value) in over {
        match (under.get_mut(&name), value) {
            (Some(Value::Table(under)), Value::Table(over)) => lay_over(under, over),
            (_, value) => drop(under.insert(name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Resolved, resolve};

    const HEAD: &str = "description = 'x'\non = []\noff = []\n";

    fn file(top: &str, dials: &str) -> String {
        format!("{HEAD}{top}\n{dials}")
    }

    fn resolved(name: &str, shipped: &[(&str, String)]) -> Result<Resolved, String> {
        let shipped: Vec<(&str, &str)> = shipped.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let text = shipped.iter().find(|(known, _)| *known == name).unwrap().1;
        resolve(name, text, &shipped).map_err(|e| e.to_string())
    }

    #[test]
    fn a_profile_is_its_base_with_what_it_sets_itself() {
        let shipped = [
            ("low", file("replicas = 2", "[dials.a]\nx = 1\ny = 1\n[dials.a.deep]\nz = 1\n[dials.b]\nx = 1")),
            ("middle", file("base = 'low'", "[dials.a.deep]\nz = 2")),
            ("top", file("base = 'middle'\nreplicas = 3", "[dials.a]\ny = 3")),
        ];
        let dials = |name: &str| toml::to_string(&resolved(name, &shipped).unwrap().dials).unwrap();
        assert_eq!(dials("low"), "[a]\nx = 1\ny = 1\n\n[a.deep]\nz = 1\n\n[b]\nx = 1\n");
        assert_eq!(dials("middle"), "[a]\nx = 1\ny = 1\n\n[a.deep]\nz = 2\n\n[b]\nx = 1\n");
        assert_eq!(dials("top"), "[a]\nx = 1\ny = 3\n\n[a.deep]\nz = 2\n\n[b]\nx = 1\n");
        let replicas = ["low", "middle", "top"].map(|name| resolved(name, &shipped).unwrap().replicas);
        assert_eq!(replicas, [2, 2, 3]);
        assert_eq!(resolved("top", &shipped).unwrap().base.as_deref(), Some("middle"));
    }

    #[test]
    fn a_base_that_cannot_be_is_refused_with_its_line_and_the_reason() {
        let shipped = [
            ("plain", file("replicas = 1", "")),
            ("mistyped", file("base = 'plian'", "")),
            ("itself", file("# why\nbase = 'itself'", "")),
            ("hen", file("base = 'egg'", "")),
            ("egg", file("base = 'hen'", "")),
            ("alone", file("", "")),
            ("number", file("base = 7", "")),
            ("on_bad", file("base = 'mistyped'", "")),
        ];
        let wrong = ["mistyped", "itself", "hen", "alone", "number", "on_bad"];
        let words = wrong.map(|name| resolved(name, &shipped).err().unwrap());
        insta::assert_snapshot!(words.join("\n"), @r#"
        profile "mistyped" does not parse: line 4: base "plian" is no profile (did you mean plain?); there is: plain, mistyped, itself, hen, egg, alone, number, on_bad
        profile "itself" does not parse: line 5: base "itself" leads in a circle: itself -> itself
        profile "egg" does not parse: line 4: base "hen" leads in a circle: hen -> egg -> hen
        profile "alone" does not parse: replicas is missing, and there is no base to have it from
        profile "number" does not parse: TOML parse error at line 4, column 8
          |
        4 | base = 7
          |        ^
        invalid type: integer `7`, expected a string

        profile "mistyped" does not parse: line 4: base "plian" is no profile (did you mean plain?); there is: plain, mistyped, itself, hen, egg, alone, number, on_bad
        "#);
    }

    #[test]
    fn a_table_is_not_a_value() {
        let shipped = [
            ("low", file("replicas = 1", "[dials.a]\nx = 1")),
            ("top", file("base = 'low'", "[dials]\na = 1")),
        ];
        // What the dials make of it is for the dials to say.
        assert_eq!(resolved("top", &shipped).unwrap().dials.to_string(), "a = 1\n");
    }
}
