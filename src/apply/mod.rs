//! Carries out a plan: files on disk, and Envoy's word that it took them.
