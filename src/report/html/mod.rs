pub struct Html; impl super::Format for Html { fn render(&self, _: &super::Report<'_>) -> Result<Vec<u8>, super::ReportError> { Ok(vec![]) } }
