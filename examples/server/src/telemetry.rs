//! Logs to standard error, and traces to an OpenTelemetry collector where one is configured.

use std::io::IsTerminal as _;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::audit;
use crate::config::{Config, LogFormat};
use crate::error::Fatal;

/// Sends what is still to be sent when it is dropped.
#[must_use = "dropping it ends the traces"]
pub(crate) struct Telemetry(Option<SdkTracerProvider>);

/// Starts logging, and tracing where it is configured.
pub(crate) fn start(config: &Config) -> Result<Telemetry, Fatal> {
    let filter = EnvFilter::try_new(&config.log.level)
        .map_err(|error| Fatal::Config(format!("the configuration: log.level: {error}")))?;
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let lines = match config.log.format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().with_span_list(false).boxed(),
    };
    let provider = config.otlp.as_deref().map(exporting_to).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        let tracer = provider.tracer("grantor-server");
        tracing_opentelemetry::layer().with_tracer(tracer).with_filter(only_ours())
    });
    let audit = config.log.audit.as_deref().map(audit::layer).transpose()?;
    tracing_subscriber::registry().with(lines.with_filter(filter)).with(traces).with(audit).init();
    Ok(Telemetry(provider))
}

/// For a command beside the server: what it does is part of the audit.
pub(crate) fn start_audit(config: &Config) -> Result<(), Fatal> {
    let audit = config.log.audit.as_deref().map(audit::layer).transpose()?;
    tracing_subscriber::registry().with(audit).init();
    Ok(())
}

/// What the exporter's own client does is not worth a trace, and would never end.
fn only_ours() -> EnvFilter {
    EnvFilter::new(
        "off,audit=info,grantor=info,grantor_server=info,grantor_axum=info,grantor_sqlite=info",
    )
}

fn exporting_to(collector: &str) -> Result<SdkTracerProvider, Fatal> {
    let endpoint = format!("{}/v1/traces", collector.trim_end_matches('/'));
    let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).build();
    let exporter =
        exporter.map_err(|error| Fatal::Config(format!("the configuration: otlp: {error}")))?;
    let resource = Resource::builder().with_service_name("grantor-server").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take() {
            // A collector that is away must not keep the server from stopping.
            let _ = provider.shutdown();
        }
    }
}
