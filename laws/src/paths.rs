//! Paths that exist on one machine only.

/// The first such path in a line: a home directory, a work directory, or a name in the
/// directory of temporary files. Paths that every Linux system has are allowed.
#[must_use]
pub fn of_a_machine(line: &str) -> Option<&str> {
    line.match_indices('/').find_map(|(at, _)| {
        let (before, path) = line.split_at(at);
        (begins(before) && is_of_a_machine(path, before)).then(|| first_word(path))
    })
}

/// Whether an absolute path can begin after this text.
fn begins(before: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || "_.~$})/-]*".contains(c);
    // `-I/usr/include`, `file:///usr`.
    let is_flag = before.rsplit([' ', '"']).next().is_some_and(|word| {
        word.len() == 2 && word.starts_with('-') && word.ends_with(|c: char| c.is_ascii_uppercase())
    });
    !before.ends_with(goes_on) || is_flag || before.ends_with("://")
}

fn is_of_a_machine(path: &str, before: &str) -> bool {
    // Without the slash, so that this file does not name such paths itself.
    let after = |folder: &str| path[1..].strip_prefix(folder);
    let is_named = |folder| {
        let name = after(folder).and_then(|rest| rest.strip_prefix('/'));
        name.is_some_and(|name| name.starts_with(is_name))
    };
    let is_whole = |folder| after(folder).is_some_and(|rest| !rest.starts_with(is_name));
    let is_quoted = before.ends_with('"') && after("tmp").is_some_and(|it| it.starts_with('"'));
    ["home", "Users", "tmp", "var/tmp"].into_iter().any(is_named)
        || ["root", "work", "workspace"].into_iter().any(is_whole)
        || is_quoted
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || "_.-{$".contains(c)
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| c.is_whitespace() || "\"'`".contains(c)).next().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = concat!("/", "root");
    const HOME: &str = concat!("/", "home");
    const WORK: &str = concat!("/", "work");
    const TMP: &str = concat!("/", "tmp");

    #[test]
    fn paths_of_a_machine_are_found() {
        for line in [
            format!("run {ROOT}"),
            format!("`{ROOT}/.cargo`"),
            format!("path={HOME}/user/x"),
            format!("cd {WORK}/main"),
            format!("({WORK})"),
            format!("open(\"{TMP}/data\")"),
            format!("Path::new(\"{TMP}\")"),
            format!("format!(\"{TMP}/{{name}}\")"),
            format!("cc -I{HOME}/user/include"),
            format!("file://{HOME}/user"),
        ] {
            assert!(of_a_machine(&line).is_some(), "{line}");
        }
    }

    #[test]
    fn paths_of_every_machine_and_of_the_repository_are_not() {
        for line in [
            "/usr/bin/python3 /proc/self/maps /sys/fs/cgroup /dev/null /lib /etc/passwd",
            "laws/work docs/home/page.md ../work ./root $PWD/work {}/tmp/x and/or",
            "https://example.org/home/page",
            "the root, /workers, /homes",
        ] {
            assert_eq!(of_a_machine(line), None, "{line}");
        }
        assert_eq!(of_a_machine(&format!("a file in {TMP}, or in {HOME}")), None);
    }
}
