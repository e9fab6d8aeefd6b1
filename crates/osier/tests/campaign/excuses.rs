//! What cannot be known from inside: a consistent lie in the only source.

mod lies;
mod linux;
mod pages;
mod windows;

use crate::BESIDE;
use crate::verdict::Silent;

/// A kind of lie that an answer may rest on without a word.
pub(crate) struct Excuse {
    /// The campaign that needs it.
    pub(crate) campaign: &'static str,
    /// How the names of the places begin.
    places: &'static [&'static str],
    /// The questions whose answers may change; empty: any.
    questions: &'static [&'static str],
    /// What is done there; empty: anything.
    ways: &'static [&'static str],
    /// The rules of the findings, or the sources of what is scanned, that may come or go; empty: any.
    by: &'static [&'static str],
    /// The fields that may change.
    fields: &'static [&'static str],
    /// Whether memory that was replaced needs it alone, and none that was zeroed.
    replaced: bool,
    /// Whether another source is in the machine and a distilled snapshot does not hold it.
    distilled: bool,
    /// Why nothing else in the snapshot says otherwise.
    pub(crate) why: &'static str,
}

const ANY: Excuse = Excuse {
    campaign: "words",
    places: &[],
    questions: &[],
    ways: &[],
    by: &[],
    fields: &[],
    replaced: false,
    distilled: false,
    why: "",
};

/// What `rules` find where the words were changed that they look at: that these do not fit is what `findings` shows.
const fn finding(rules: &'static [&'static str], places: &'static [&'static str]) -> Excuse {
    Excuse {
        places,
        questions: &["findings"],
        by: rules,
        fields: &["+row", "text", "evidence", "severity"],
        replaced: true,
        why: "what a word was changed to at which a rule looks: that it does not fit is what `findings` shows",
        ..ANY
    }
}

/// The kinds; `docs/validation.md` has the same list.
pub(crate) fn all() -> impl Iterator<Item = &'static Excuse> {
    let parts = [
        linux::EXCUSES,
        windows::EXCUSES,
        pages::EXCUSES,
        lies::EXCUSES,
    ];
    parts.into_iter().flatten()
}

/// The excuse of `silent`, if there is one.
pub(crate) fn of(silent: &Silent) -> Option<&'static Excuse> {
    // What cannot be read is always known.
    if silent.how == "missing page" {
        return None;
    }
    let named = |among: &[&str], name: &str| among.is_empty() || among.contains(&name);
    let fits = |excuse: &Excuse, places: &str| {
        let mut places = places.split(BESIDE);
        places.any(|named| excuse.places.iter().any(|place| named.starts_with(place)))
            && named(excuse.questions, silent.question)
            && named(excuse.ways, &silent.how)
            && silent.by.iter().all(|by| named(excuse.by, by))
            && !(excuse.replaced && silent.how.starts_with("zero"))
            && (silent.distilled || !excuse.distilled)
    };
    // Of what lies side by side, each may have lost what it alone says.
    let excused = |field: &String| {
        let excuses = |excuse: &&Excuse| {
            fits(excuse, &silent.place) && excuse.fields.contains(&field.as_str())
        };
        all().find(excuses)
    };
    if silent.place.contains(BESIDE) {
        let all = silent.fields.iter().all(|field| excused(field).is_some());
        return silent
            .fields
            .iter()
            .next()
            .and_then(excused)
            .filter(|_| all);
    }
    all().find(|excuse| {
        let mut fields = silent.fields.iter();
        fits(excuse, &silent.place) && fields.all(|field| excuse.fields.contains(&field.as_str()))
    })
}
