//! Posted forms, in which a name may stand several times.

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{FromRequest, Request};

use crate::app::App;

/// The fields of a form, in their order.
pub(super) struct Fields(Vec<(String, String)>);

impl FromRequest<App> for Fields {
    type Rejection = FormRejection;

    async fn from_request(request: Request, app: &App) -> Result<Self, FormRejection> {
        Form::from_request(request, app).await.map(|Form(fields)| Self(fields))
    }
}

impl Fields {
    /// The field without blanks around it; empty when it is absent.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(have, _)| have == name).map_or("", |(_, value)| value.trim())
    }

    /// The field, unless it is empty.
    pub(super) fn optional(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// Whether a box is checked.
    pub(super) fn is_checked(&self, name: &str) -> bool {
        self.0.iter().any(|(have, _)| have == name)
    }

    /// The values of all boxes of a name that are checked.
    pub(super) fn checked(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(have, _)| have == name).map(|(_, value)| value.clone()).collect()
    }

    /// The lines of a text that are not empty.
    pub(super) fn lines(&self, name: &str) -> Vec<String> {
        let lines = self.text(name).lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect()
    }
}
