//! What is asked: `mongodb.pool=100`, `app.cpu=2x`, `mongodb.pool.demand=0.5x`, `replicas=3x`.

use super::Refusal;
use crate::units;

/// Changes that one question may hold: each is a sentence of the answer.
pub const CHANGES_MAX: usize = 8;

/// What of the system is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// How much there is of a resource.
    Limit(String),
    /// What a request takes of it (an index, a cache); of memory, what a user takes.
    Demand(String),
    /// The processes that serve: all that is theirs.
    Replicas,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum To {
    Value(f64),
    Factor(f64),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub what: What,
    pub to: To,
    /// As it was written.
    pub text: String,
}

const FORM: &str = "write RESOURCE=VALUE (mongodb.pool=100, app.heap=2GiB), RESOURCE=2x, RESOURCE.demand=0.5x or replicas=2x";

impl Change {
    /// Reads one change.
    ///
    /// # Errors
    /// What is none, with the form it should have.
    pub fn read(text: &str) -> Result<Self, Refusal> {
        let refuse = |what: String| Refusal::new("what_if_form", what, FORM);
        let Some((name, value)) = text.split_once('=').map(|(name, value)| (name.trim(), value.trim()))
        else {
            return Err(refuse(format!("`{text}` says no value")));
        };
        let to = match value.strip_suffix('x').map(units::magnitude) {
            Some(Some(factor)) => To::Factor(factor),
            Some(None) => return Err(refuse(format!("`{value}` is not a factor"))),
            None => {
                let size = || units::bytes(value).ok().map(|bytes| bytes as f64);
                let value = units::magnitude(value).or_else(size);
                To::Value(value.ok_or_else(|| refuse(format!("`{text}` has no number or size")))?)
            }
        };
        let (To::Value(number) | To::Factor(number)) = to;
        if !(number > 0.0 && number < 1e15) {
            return Err(refuse(format!("`{text}` is not above zero")));
        }
        let what = match (name, name.strip_suffix(".demand")) {
            ("", _) => return Err(refuse(format!("`{text}` names no resource"))),
            ("replicas", _) => What::Replicas,
            (_, Some(resource)) => What::Demand(resource.to_owned()),
            (resource, None) => What::Limit(resource.to_owned()),
        };
        if matches!((&what, to), (What::Replicas | What::Demand(_), To::Value(_))) {
            let what = format!(
                "`{text}` needs a factor: a record does not tell what there was, only how it was used"
            );
            return Err(refuse(what));
        }
        Ok(Self { what, to, text: format!("{name}={value}") })
    }

    /// All of them.
    ///
    /// # Errors
    /// The first that is none, too many, or two of one thing.
    pub fn read_all(texts: &[String]) -> Result<Vec<Self>, Refusal> {
        let changes = texts.iter().map(|text| Self::read(text)).collect::<Result<Vec<_>, _>>()?;
        if changes.len() > CHANGES_MAX {
            let what = format!("there are {} changes", changes.len());
            return Err(Refusal::new(
                "what_if_form",
                what,
                &format!("ask for at most {CHANGES_MAX} at once"),
            ));
        }
        for (at, change) in changes.iter().enumerate() {
            if changes[..at].iter().any(|other| other.what == change.what) {
                let what = format!("`{}` changes what another change does", change.text);
                return Err(Refusal::new("what_if_form", what, "give one value for each resource"));
            }
        }
        Ok(changes)
    }
}

impl To {
    /// The new value of what was `from`.
    pub fn of(self, from: f64) -> f64 {
        match self {
            Self::Value(value) => value,
            Self::Factor(factor) => from * factor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read() {
        let read = |text: &str| Change::read(text).map(|change| (change.what, change.to));
        let limit = |name: &str| What::Limit(name.to_owned());
        assert_eq!(read("mongodb.pool=100"), Ok((limit("mongodb.pool"), To::Value(100.0))));
        assert_eq!(read("app.heap = 2GiB"), Ok((limit("app.heap"), To::Value(f64::from(2_u32 << 30)))));
        assert_eq!(read("app.cpu=1.5x"), Ok((limit("app.cpu"), To::Factor(1.5))));
        assert_eq!(
            read("mongodb.pool.demand=0.5x"),
            Ok((What::Demand("mongodb.pool".to_owned()), To::Factor(0.5)))
        );
        assert_eq!(read("replicas=4x"), Ok((What::Replicas, To::Factor(4.0))));
        for broken in [
            "mongodb.pool",
            "=3",
            "a=",
            "a=-1",
            "a=0",
            "a=0x",
            "a=fast",
            "replicas=4",
            "a.demand=2",
            "a=x",
            "a=1e400",
        ] {
            let refusal = Change::read(broken).unwrap_err();
            assert!(refusal.remedy.contains("RESOURCE=VALUE"), "{broken}");
        }
    }

    #[test]
    fn one_thing_is_changed_once() {
        let texts = ["a=1".to_owned(), "b=2".to_owned(), "a=2x".to_owned()];
        assert!(Change::read_all(&texts).unwrap_err().text.contains("`a=2x`"));
        assert_eq!(Change::read_all(&texts[..2]).unwrap().len(), 2);
        let many: Vec<String> = (0..9).map(|i| format!("r{i}=1")).collect();
        assert!(Change::read_all(&many).is_err());
    }
}
