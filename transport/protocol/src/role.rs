//! Who a peer is. The role stands in its certificate; each message lists the roles that may send it.

use std::fmt;

/// What a credential allows its holder to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Role {
    /// The centre: the only role that peers accept as a server.
    Hub = 0,
    /// Supervises the processes of one machine and reports their deaths.
    Host = 1,
    /// Runs the dag and scheduler rooms outside the hub process.
    Scheduler = 2,
    /// Executes tasks; sees only what it was assigned.
    Engine = 3,
    /// Submits tasks: the right to run code as the engines' user.
    Client = 4,
    /// Reads status, changes nothing.
    Monitor = 5,
    /// A client that may also stop the cluster.
    Admin = 6,
}

impl Role {
    /// Every role, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Hub,
        Self::Host,
        Self::Scheduler,
        Self::Engine,
        Self::Client,
        Self::Monitor,
        Self::Admin,
    ];

    /// The name that stands in certificates, file names and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Host => "host",
            Self::Scheduler => "scheduler",
            Self::Engine => "engine",
            Self::Client => "client",
            Self::Monitor => "monitor",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a role; roles are hub, host, scheduler, engine, client, monitor, admin")]
pub struct ParseRoleError(Box<str>);

impl std::str::FromStr for Role {
    type Err = ParseRoleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| ParseRoleError(text.into()))
    }
}

/// A set of roles: who may send a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoleSet(u8);

impl RoleSet {
    /// The set of the listed roles.
    pub const fn of(roles: &[Role]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < roles.len() {
            bits |= 1 << roles[index] as u8;
            index += 1;
        }
        Self(bits)
    }

    /// Whether `role` is in the set.
    pub const fn contains(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }

    /// The roles in the set, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.contains(*role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_parses_from_its_own_name_only() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert!("root".parse::<Role>().is_err());
    }

    #[test]
    fn a_set_holds_what_it_was_made_of() {
        let set = RoleSet::of(&[Role::Client, Role::Admin]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Role::Client, Role::Admin]);
        assert!(!set.contains(Role::Monitor));
    }
}
