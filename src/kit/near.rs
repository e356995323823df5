//! Names near to one that nothing has: what its author may have meant. Files name as many things as they like, so both
//! the comparing and the telling are bounded.

/// Longest word for which a similar one is looked for; comparing takes time by the product of the lengths.
const WORD_MAX: usize = 40;
/// Most names that a word is compared with.
const COMPARED_MAX: usize = 200;
/// Most names that are told.
const TOLD_MAX: usize = 40;

/// The known word most like `word`, if one is near enough to be meant.
pub(crate) fn similar<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_MAX {
        return None;
    }
    let near = |known: &&str| strsim::damerau_levenshtein(&word.to_lowercase(), &known.to_lowercase());
    known
        .take(COMPARED_MAX)
        .filter(|known| known.len() <= 2 * WORD_MAX)
        .map(|known| (near(&known), known))
        .filter(|(far, known)| *far <= known.len().div_ceil(3))
        .min()
        .map(|(_, known)| known)
}

/// The names one after the other; of very many the first.
pub(super) fn listed<'a>(known: impl Iterator<Item = &'a str>) -> String {
    let mut first: Vec<&str> = known.take(TOLD_MAX + 1).collect();
    if first.len() > TOLD_MAX {
        first[TOLD_MAX] = "and more";
    }
    first.join(", ")
}
