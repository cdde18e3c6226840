//! Worked examples that others have published, each figure as printed beside ours: within one unit of its last digit, as much as books lose by rounding on
//! the way. With `PLIMSOLL_ACCURACY_TABLE=FILE` the table is written there as Markdown.

#[path = "published/formulas.rs"]
mod formulas;
#[path = "published/laws.rs"]
mod laws;
#[path = "published/networks.rs"]
mod networks;

/// What stands where.
#[derive(Clone, Copy)]
struct Example {
    name: &'static str,
    source: &'static str,
}

/// One figure of an example.
struct Row {
    example: Example,
    figure: String,
    /// With the digits it is printed with.
    published: &'static str,
    /// Leading digits that are held to, where the source prints more than its own descent had settled.
    digits: Option<i32>,
    ours: f64,
}

impl Example {
    fn row(self, figure: impl Into<String>, published: &'static str, ours: f64) -> Row {
        Row { example: self, figure: figure.into(), published, digits: None, ours }
    }

    /// One row a figure; `of` says what they are figures of.
    fn rows(self, of: &str, published: &[&'static str], ours: &[f64]) -> Vec<Row> {
        assert_eq!(published.len(), ours.len(), "{}: {of}", self.name);
        let places = published.iter().zip(ours).enumerate();
        places
            .map(|(place, (published, ours))| self.row(format!("{of} {}", place + 1), published, *ours))
            .collect()
    }
}

impl Row {
    fn to(self, digits: i32) -> Self {
        Self { figure: format!("{}, to {digits} digits", self.figure), digits: Some(digits), ..self }
    }

    /// Decimals of the mantissa as printed, and its exponent.
    fn printed(&self) -> (usize, i32) {
        let (mantissa, exponent) = self.published.split_once('e').unwrap_or((self.published, "0"));
        let decimals = mantissa.split_once('.').map_or(0, |(_, after)| after.len());
        (decimals, exponent.parse().expect("an exponent"))
    }

    /// One unit of the last digit that counts.
    fn unit(&self) -> f64 {
        let (decimals, exponent) = self.printed();
        match self.digits {
            Some(digits) => {
                let published: f64 = self.published.parse().expect("a number");
                10f64.powi(published.abs().log10().floor() as i32 + 1 - digits)
            }
            None => 10f64.powi(exponent - i32::try_from(decimals).expect("few decimals")),
        }
    }

    fn is_reproduced(&self) -> bool {
        let published: f64 = self.published.parse().expect("a number");
        (self.ours - published).abs() <= self.unit() * (1.0 + 1e-9)
    }

    fn shown(&self) -> String {
        let decimals = self.printed().0 + 1;
        let ours = if self.published.contains('e') {
            format!("{:.decimals$e}", self.ours)
        } else {
            format!("{:.decimals$}", self.ours)
        };
        format!(
            "| {} | {} | {} | {} | {ours} |",
            self.example.name, self.example.source, self.figure, self.published
        )
    }
}

#[test]
fn published_figures_are_reproduced() {
    let rows: Vec<Row> = networks::rows().into_iter().chain(formulas::rows()).chain(laws::rows()).collect();
    let lines: Vec<String> = rows.iter().map(Row::shown).collect();
    if let Some(path) = std::env::var_os("PLIMSOLL_ACCURACY_TABLE") {
        let head = "| example | source | figure | published | ours |\n|---|---|---|---|---|";
        std::fs::write(path, format!("{head}\n{}\n", lines.join("\n"))).expect("the table can be written");
    }
    let wrong: Vec<&String> =
        rows.iter().zip(&lines).filter(|(row, _)| !row.is_reproduced()).map(|(_, line)| line).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(rows.len() > 90, "{} figures", rows.len());
}

#[test]
fn a_figure_is_held_to_its_last_digit() {
    let example = Example { name: "", source: "" };
    for (published, near, far) in [
        ("1.99", 1.98, 1.97),
        ("0.0277285", 0.0277286, 0.0277287),
        ("1.988e-5", 1.989e-5, 1.990e-5),
        ("1884", 1885.0, 1886.0),
    ] {
        assert!(example.row("", published, near).is_reproduced(), "{published}");
        assert!(!example.row("", published, far).is_reproduced(), "{published}");
    }
}
