//! The functions that show how an answer comes about.

use pgrx::IntoDatum;
use sentiment_core::{Reason, TokenView};

use crate::call::{Answer, Call, sql_functions};
use crate::errors::Failure;
use crate::models::Model;
use crate::result::{Columns, Rows};
use crate::text::{self, Positions};

sql_functions!(sentiment_explain, sentiment_tokens);

/// `sentiment_explain(body, model, top_k)`: the terms that weigh most, then the bias.
fn sentiment_explain(call: &Call) -> Answer {
    let mut rows = Rows::begin(call)?;
    let Some(body) = call.text(0) else { return Ok(None) };
    let model = Model::named(call.text(1))?;
    let top_k = call.value::<i32>(2);
    let most = match top_k.map(usize::try_from) {
        None => usize::MAX,
        Some(Ok(most)) => most,
        Some(Err(_)) => return Err(Failure::top_k_negative(top_k.unwrap_or_default())),
    };
    body.read(|body| {
        let (positions, model) = (body.positions(), model.reader(body));
        let mut terms = model.explain(body);
        let bias = terms.pop();
        for reason in terms.iter().take(most).chain(&bias) {
            rows.push(reason_columns(model, reason, &positions));
        }
    });
    Ok(None)
}

fn reason_columns(model: &Model, reason: &Reason, positions: &Positions<'_>) -> Columns<4> {
    [
        Some(text::datum(&reason.term)),
        reason.start.map(|start| positions.of(start)).into_datum(),
        reason.weight.into_datum(),
        Some(text::datum(model.label(reason.toward))),
    ]
}

/// `sentiment_tokens(body, model)`: what the tokenizer saw.
fn sentiment_tokens(call: &Call) -> Answer {
    let mut rows = Rows::begin(call)?;
    let Some(body) = call.text(0) else { return Ok(None) };
    let model = Model::named(call.text(1))?;
    body.read(|body| {
        let positions = body.positions();
        for (ord, token) in (1..).zip(model.reader(body).tokens(body)) {
            rows.push(token_columns(ord, &token, &positions));
        }
    });
    Ok(None)
}

fn token_columns(ord: i32, token: &TokenView, positions: &Positions<'_>) -> Columns<5> {
    let kind = if token.negated { "negated" } else { token.kind.as_str() };
    [
        ord.into_datum(),
        Some(text::datum(&token.token)),
        Some(text::datum(kind)),
        positions.of(token.start).into_datum(),
        token.known.into_datum(),
    ]
}
