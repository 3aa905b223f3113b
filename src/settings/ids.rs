//! The ids of users and groups by name.

use std::fs;

/// The id of a user or group: a number, or the id of a name in the system's `table`.
///
/// The table is the file itself, `/etc/passwd` or `/etc/group`. Names that only NSS knows, from LDAP or `userdb`, are not found;
/// such a user or group is given by its number.
pub(super) fn id(key: &str, name: &str, table: &str) -> Result<u32, String> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let text =
        fs::read_to_string(table).map_err(|error| format!("{key}: cannot look up `{name}` in {table}: {error}"))?;
    let found = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name))
            .then(|| fields.nth(1)?.parse().ok())
            .flatten()
    });
    found.ok_or_else(|| format!("{key}: there is no {key} `{name}` on this machine"))
}
