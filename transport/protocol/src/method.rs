//! A typed handler's wire name: one constant that the engine registers and the client calls.
//!
//! Nothing here is sent: only the name travels ([`crate::task::MethodName`]), arguments and result
//! as one MessagePack value each ([`crate::value`]).

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::METHOD_LEN_MAX;
use crate::task::{MethodName, MethodNameError};

/// The stable wire name of a handler that takes `Args` and returns `Ret`.
///
/// Whoever calls it and whoever handles it share the constant, so neither can get the types wrong;
/// types that cannot travel do not compile.
///
/// ```
/// use phalanx_protocol::method::Method;
///
/// /// Length of a text.
/// pub const MEASURE: Method<String, u64> = Method::new("text.measure");
/// assert_eq!(MEASURE.name(), "text.measure");
/// ```
///
/// ```compile_fail,E0277
/// # use phalanx_protocol::method::Method;
/// struct OnlyHere;
/// const WRONG: Method<OnlyHere, u64> = Method::new("text.measure");
/// ```
pub struct Method<Args, Ret> {
    name: &'static str,
    types: PhantomData<fn(Args) -> Ret>,
}

impl<Args, Ret> Method<Args, Ret>
where
    Args: Serialize + DeserializeOwned,
    Ret: Serialize + DeserializeOwned,
{
    /// Names a handler.
    ///
    /// # Panics
    /// If the name is empty or longer than [`METHOD_LEN_MAX`]; for a constant that is an error of
    /// the compiler.
    pub const fn new(name: &'static str) -> Self {
        assert!(
            !name.is_empty() && name.len() <= METHOD_LEN_MAX,
            "a method name has 1 to 255 bytes"
        );
        Self { name, types: PhantomData }
    }
}

impl<Args, Ret> Method<Args, Ret> {
    /// The name that travels.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<Args, Ret> Clone for Method<Args, Ret> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Args, Ret> Copy for Method<Args, Ret> {}

impl<Args, Ret> fmt::Debug for Method<Args, Ret> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Method").field(&self.name).finish()
    }
}

impl<Args, Ret> fmt::Display for Method<Args, Ret> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl<Args, Ret> TryFrom<Method<Args, Ret>> for MethodName {
    type Error = MethodNameError;

    /// Never fails: [`Method::new`] has checked the name.
    fn try_from(method: Method<Args, Ret>) -> Result<Self, MethodNameError> {
        Self::try_from(method.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_a_name_that_can_be_copied_and_sent() {
        const MEASURE: Method<Vec<String>, u64> = Method::new("text.measure");
        fn shareable<T: Send + Sync + Copy>(_: T) {}
        shareable(MEASURE);
        assert_eq!(MethodName::try_from(MEASURE).unwrap().as_str(), "text.measure");
        assert_eq!(format!("{MEASURE} {MEASURE:?}"), "text.measure Method(\"text.measure\")");
    }
}
