//! The server API's route for the settings in force.

use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Reply, ok};
use super::request::Shared;
use super::shown_settings::ShownSetting;

/// All settings.
#[derive(Serialize, ToSchema)]
pub(super) struct SettingList {
    settings: Vec<ShownSetting>,
}

/// The settings in force and where each comes from, by their keys. Of secrets it says only whether they are set.
#[utoipa::path(
    get, path = "/v1/settings", tag = "operations", operation_id = "listSettings",
    responses((status = 200, description = "all of them", body = SettingList))
)]
pub(super) async fn list(api: Shared) -> Reply<SettingList> {
    ok(SettingList { settings: api.settings.all() })
}
