//! What administrators do, whether by the API, the pages or the command line.

pub(crate) mod claims;
pub(crate) mod clients;
pub(crate) mod users;

/// What an administrator may do, in the words of the profile API.
pub(crate) const PERMISSIONS: [&str; 7] = [
    "clients:create",
    "clients:read",
    "clients:update",
    "clients:delete",
    "users:create",
    "users:read",
    "users:update",
];
