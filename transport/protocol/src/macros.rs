//! The two forms that wire types are written in.

/// A struct that always travels as a MessagePack map, also inside an array-encoded header, so that
/// it can grow: unknown fields are skipped, missing ones take their default.
macro_rules! map_encoded {
    (
        $(#[$meta:meta])*
        pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $type:ty),+ $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Default, serde::Deserialize)]
        #[serde(default)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type),+ }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                const FIELDS: usize = [$(stringify!($field)),+].len();
                let mut map = serializer.serialize_map(Some(FIELDS))?;
                $(map.serialize_entry(stringify!($field), &self.$field)?;)+
                map.end()
            }
        }
    };
}

/// One direction of a conversation. Each message must state its number, how its header is encoded
/// (`hot` = array, `named` = map), its lane and the roles that may send it; one that lacks any of
/// these does not compile.
macro_rules! messages {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $(
                $(#[$variant_meta:meta])*
                $number:literal => $variant:ident($type:ty),
                $encoding:ident, $lane:ident, [$($role:ident),+] $(, payload $payload:ident)?;
            )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name { $($(#[$variant_meta])* $variant($type)),+ }

        impl $crate::codec::Message for $name {
            const CONVERSATION: &'static str = stringify!($name);
            const MESSAGES: &'static [$crate::codec::MessageInfo] = &[$(
                $crate::codec::MessageInfo {
                    number: $number,
                    name: stringify!($variant),
                    lane: $crate::codec::Lane::$lane,
                    encoding: messages!(@encoding $encoding),
                    senders: $crate::role::RoleSet::of(&[$($crate::role::Role::$role),+]),
                    carries_payload: messages!(@carries $($payload)?),
                }
            ),+];

            fn info(&self) -> &'static $crate::codec::MessageInfo {
                const INFOS: &[$crate::codec::MessageInfo] =
                    <$name as $crate::codec::Message>::MESSAGES;
                let number: u16 = match self { $(Self::$variant(_) => $number),+ };
                // Numbers are few and ascending: the scan is a handful of compares.
                INFOS.iter().find(|info| info.number == number).unwrap_or(&INFOS[0])
            }

            #[allow(unused_variables, reason = "some messages of the enum carry no payload")]
            fn payload_mut(&mut self) -> Option<&mut $crate::payload::Payload> {
                match self {
                    $(Self::$variant(message) => messages!(@payload message $($payload)?)),+
                }
            }

            #[allow(unused_variables, reason = "some messages of the enum carry no payload")]
            fn payload(&self) -> Option<&$crate::payload::Payload> {
                match self {
                    $(Self::$variant(message) => messages!(@payload_ref message $($payload)?)),+
                }
            }

            fn encode_header(
                &self,
                out: &mut bytes::BytesMut,
            ) -> Result<(), $crate::codec::EncodeError> {
                match self {
                    $(Self::$variant(message) => $crate::codec::$encoding::encode(message, out)),+
                }
            }

            fn decode_header(
                number: u16,
                header: &[u8],
            ) -> Result<Self, $crate::codec::DecodeError> {
                match number {
                    $($number => $crate::codec::decode_value(header).map(Self::$variant),)+
                    _ => Err($crate::codec::DecodeError::UnknownMessage {
                        conversation: stringify!($name),
                        number,
                    }),
                }
            }
        }

        $(
            impl From<$type> for $name {
                fn from(message: $type) -> Self {
                    Self::$variant(message)
                }
            }
        )+
    };
    (@encoding hot) => { $crate::codec::Encoding::Array };
    (@encoding named) => { $crate::codec::Encoding::Map };
    (@carries) => { false };
    (@carries $payload:ident) => { true };
    (@payload $message:ident) => { None };
    (@payload $message:ident $payload:ident) => { Some(&mut $message.$payload) };
    (@payload_ref $message:ident) => { None };
    (@payload_ref $message:ident $payload:ident) => { Some(&$message.$payload) };
}

pub(crate) use {map_encoded, messages};
