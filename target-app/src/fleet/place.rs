//! Which process of a fleet one is: `replica-3/10`, the fourth of ten. Its sockets and what is said of it are named by that.

use std::fmt;
use std::str::FromStr;

/// What a process of a fleet does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Serves the shop.
    Replica,
    /// Is a node of the embedded Redis.
    Redis,
    /// Stands in front of the replicas.
    Gateway,
}

impl Role {
    const ALL: [Self; 3] = [Self::Replica, Self::Redis, Self::Gateway];

    fn name(self) -> &'static str {
        match self {
            Self::Replica => "replica",
            Self::Redis => "redis",
            Self::Gateway => "gateway",
        }
    }
}

/// One process among those of its role, counted from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub role: Role,
    pub number: u32,
    pub of: u32,
}

impl Place {
    /// `replica 3`, for people.
    pub(super) fn words(self) -> String {
        format!("{} {}", self.role.name(), self.number)
    }

    /// `replica-3`, for files.
    pub(super) fn stem(self) -> String {
        format!("{}-{}", self.role.name(), self.number)
    }
}

/// As the command line has it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stem(), self.of)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (role, place) = text.split_once('-').ok_or("expected ROLE-NUMBER/OF")?;
        let role = Role::ALL.into_iter().find(|known| known.name() == role).ok_or("there is no such role")?;
        let (number, of) = place.split_once('/').ok_or("expected NUMBER/OF")?;
        let place = Self {
            role,
            number: number.parse().map_err(|_| "expected a number before the slash")?,
            of: of.parse().map_err(|_| "expected a number after the slash")?,
        };
        if place.number >= place.of { Err("there is no such place".to_owned()) } else { Ok(place) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Role};

    #[test]
    fn a_place_is_one_of_those_there_are() {
        for role in Role::ALL {
            let place = Place { role, number: 3, of: 10 };
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        assert_eq!("redis-0/3".parse(), Ok(Place { role: Role::Redis, number: 0, of: 3 }));
        for wrong in ["3/10", "replica-3", "replica-10/10", "replica-0/0", "replica-a/2", "cook-1/2", ""] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
