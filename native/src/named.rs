//! Enumerations whose members Python knows by name.

/// An enumeration with all its members and their names; `name` is the value of the member in Python.
macro_rules! named {
    ($(#[$doc:meta])* $Kind:ident: $($variant:ident = $name:literal),* $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $Kind { $($variant),* }

        impl $Kind {
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The value of the member of Python's enumeration.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

pub(crate) use named;
