//! A linear model and a network read together.

use crate::Result;
use crate::model::{self, Hashes, Learning, Model};
use crate::network::{self, Network};

/// A model whose logits are those of two, weighted and summed up.
#[derive(Clone, Copy, Debug)]
pub struct Mixture<'m> {
    /// The bytes of a logistic regression.
    pub linear: &'m [u8],
    /// What its logits are multiplied by.
    pub linear_factor: f64,
    /// The network.
    pub network: &'m Network,
    /// What its logits are multiplied by.
    pub network_factor: f64,
    /// What shape features weigh beside the network, features x classes.
    pub shape_weights: &'m [f64],
    /// What is added to the logit of each class.
    pub bias: &'m [f64],
    /// Measures of the mixture as the text of a JSON object.
    pub metrics: &'m str,
}

impl Mixture<'_> {
    /// The bytes of the mixture, a model that does not go on learning.
    ///
    /// # Errors
    /// `Damaged` for bytes that are no model, `Limit` if the model would pass 4 GiB.
    pub fn write(&self) -> Result<Vec<u8>> {
        let Model { mut card, table, .. } = Model::open(self.linear)?;
        card.algorithm = network::ALGORITHM.to_owned();
        card.learning = Learning::No;
        card.metrics = self.metrics.to_owned();
        card.weight_unit *= self.linear_factor;
        for (weight, more) in card.bias.iter_mut().zip(self.bias) {
            *weight = *weight * self.linear_factor + more;
        }
        for (weight, more) in card.shape_weights.iter_mut().zip(self.shape_weights) {
            *weight = *weight * self.linear_factor + more * self.network_factor;
        }
        let mut network = self.network.clone();
        #[allow(clippy::cast_possible_truncation)]
        network.output.iter_mut().for_each(|weight| *weight *= self.network_factor as f32);
        let buckets = table.parts().1;
        let (table, network) = network.write(&table)?;
        model::assemble(&card, card.labels.len(), (&table, buckets), Hashes::Dropped, &[&network])
    }
}
