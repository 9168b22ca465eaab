//! An endpoint that may answer anything.

use wildmatch::WildMatch;

use super::exposition::{Filter, MAX_SERIES};

/// What is taken of any text is finite, of names that were asked for, and not too much.
pub fn exposition(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for labels in [None, Some(["code".to_owned(), "le".to_owned()].into())] {
        let filter = Filter { scrape: "app".to_owned(), allow: vec![WildMatch::new("*")], labels };
        let Ok(taken) = filter.take(&text) else { continue };
        assert!(taken.samples.len() <= MAX_SERIES);
        assert_eq!(taken.garbled > 0, taken.trouble.is_some());
        for sample in &taken.samples {
            assert!(sample.value.is_finite() && !sample.series.metric.is_empty());
            let kept = filter.labels.as_ref();
            let mut keys = sample.series.attributes.iter().map(|(key, _)| key.to_string());
            assert!(keys.all(|key| key == "scrape.name" || kept.is_none_or(|kept| kept.contains(&key))));
        }
    }
}
