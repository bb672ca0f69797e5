//! Medians and percentiles.

/// The value below which `percent` of the samples lie (nearest rank). Zero of none.
pub fn percentile(samples: &[f64], percent: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

pub fn median(samples: &[f64]) -> f64 {
    percentile(samples, 50.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_by_rank() {
        let samples: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!((median(&samples), percentile(&samples, 99.0), percentile(&samples, 100.0)), (100.0, 198.0, 200.0));
    }

    #[test]
    fn one_sample_is_every_percentile() {
        assert_eq!((median(&[7.0]), percentile(&[7.0], 99.0)), (7.0, 7.0));
    }
}
