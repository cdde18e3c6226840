//! Means with intervals from batches of consecutive requests, whose means are nearly independent where single requests are not, and
//! percentiles from all of them.
//!
//! Source: Law and Kelton, "Simulation Modeling and Analysis", 1991, section 9.5.3 (batch means).

/// As many as the literature advises, and Student's t for 0.975 with one fewer.
const BATCHES: usize = 20;
const STUDENT_T: f64 = 2.093;

pub(super) struct Batches {
    begun_s: Option<f64>,
    batch_requests: u64,
    ended: u64,
    current: Batch,
    batch_begun_s: f64,
    done: Vec<(f64, f64)>,
    responses_s: Vec<f64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Batch {
    answered: u64,
    response_s: f64,
}

pub(super) struct Summary {
    pub(super) requests: u64,
    pub(super) throughput_per_s: f64,
    pub(super) throughput_half_width_per_s: f64,
    /// `None`, as are the next four, where nothing was answered.
    pub(super) response_s: Option<f64>,
    pub(super) response_half_width_s: Option<f64>,
    pub(super) p50_s: Option<f64>,
    pub(super) p90_s: Option<f64>,
    pub(super) p99_s: Option<f64>,
}

impl Batches {
    pub(super) fn new(requests: u64) -> Self {
        Self {
            begun_s: None,
            batch_requests: (requests / BATCHES as u64).max(1),
            ended: 0,
            current: Batch::default(),
            batch_begun_s: 0.0,
            done: Vec::new(),
            responses_s: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self, now_s: f64) {
        self.begun_s = Some(now_s);
        self.batch_begun_s = now_s;
    }

    pub(super) fn answered(&mut self, now_s: f64, response_s: f64) {
        if self.begun_s.is_some() {
            self.current.answered += 1;
            self.current.response_s += response_s;
            self.responses_s.push(response_s);
            self.count(now_s);
        }
    }

    pub(super) fn given_up(&mut self, now_s: f64) {
        if self.begun_s.is_some() {
            self.count(now_s);
        }
    }

    fn count(&mut self, now_s: f64) {
        self.ended += 1;
        if self.ended.is_multiple_of(self.batch_requests) {
            let answered = self.current.answered as f64;
            let throughput_per_s = answered / (now_s - self.batch_begun_s);
            self.done.push((throughput_per_s, self.current.response_s / answered));
            self.current = Batch::default();
            self.batch_begun_s = now_s;
        }
    }

    pub(super) fn seen_s(&self, now_s: f64) -> f64 {
        now_s - self.begun_s.unwrap_or(0.0)
    }

    pub(super) fn summary(mut self, now_s: f64) -> Summary {
        let count = self.responses_s.len() as f64;
        let response_s = self.responses_s.iter().sum::<f64>() / count;
        self.responses_s.sort_unstable_by(f64::total_cmp);
        let percentile = |share: f64| {
            let rank = (share * count).ceil() as usize;
            self.responses_s.get(rank.saturating_sub(1)).copied()
        };
        Summary {
            requests: self.ended,
            throughput_per_s: count / self.seen_s(now_s),
            throughput_half_width_per_s: half_width(self.done.iter().map(|batch| batch.0)),
            response_s: Some(response_s).filter(|mean| mean.is_finite()),
            response_half_width_s: Some(half_width(self.done.iter().map(|batch| batch.1)))
                .filter(|half| half.is_finite()),
            p50_s: percentile(0.5),
            p90_s: percentile(0.9),
            p99_s: percentile(0.99),
        }
    }
}

fn half_width(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
    STUDENT_T * (squares / (n - 1.0) / n).sqrt()
}
