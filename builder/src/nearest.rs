//! "Did you mean": the known names closest to one that is not known.

/// Up to three of `known` within a third of the length of `name` in edit distance, or containing it; closest first, then by name.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let allowed = (name.chars().count() / 3).max(1);
    let mut close: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|other| {
            let distance = distance(name, other);
            let related = distance <= allowed || (name.len() >= 3 && (other.contains(name) || name.contains(other)));
            related.then_some((distance, other))
        })
        .collect();
    close.sort_unstable();
    close.dedup();
    close.into_iter().take(3).map(|(_, other)| other).collect()
}

/// `; nearest: "a", "b"`, or nothing when no name is close.
pub fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = nearest(name, known).iter().map(|name| format!("\"{name}\"")).collect();
    if names.is_empty() { String::new() } else { format!("; nearest: {}", names.join(", ")) }
}

/// Levenshtein distance in characters, with `_` and `-` taken as equal.
fn distance(a: &str, b: &str) -> usize {
    let normal = |c: char| if c == '_' { '-' } else { c };
    let b: Vec<char> = b.chars().map(normal).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().map(normal).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replace = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_word_that_was_meant() {
        let known = ["virtio_blk", "virtio_net", "dm_verity", "ext4"];
        assert_eq!(nearest("virtio_blkk", known), ["virtio_blk"]);
        assert_eq!(nearest("virtio", known), ["virtio_blk", "virtio_net"]);
        assert_eq!(hint("ext5", known), "; nearest: \"ext4\"");
        assert_eq!(hint("something", known), "");
        assert_eq!(nearest("base_slot", ["base-slot", "site-slot"])[0], "base-slot");
    }
}
