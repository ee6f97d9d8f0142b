/* The layout of every struct of abi.h on LP64 platforms, frozen: a line that has to change here breaks every plugin
 * that was built before. New fields get new lines at the end of their struct. */
#pragma once

#include <d2c/abi.h>

#include <assert.h>
#include <limits.h>

#if LONG_MAX > INT_MAX

#define SIZE(TYPE, BYTES) static_assert(sizeof(TYPE) == (BYTES), #TYPE " changed its size")
#define FIELD(TYPE, NAME, BYTES) static_assert(offsetof(TYPE, NAME) == (BYTES), #TYPE "." #NAME " moved")

SIZE(d2c_type, 72);
FIELD(d2c_type, dtype, 0);
FIELD(d2c_type, rank, 4);
FIELD(d2c_type, dims, 8);

SIZE(d2c_tensor, 88);
FIELD(d2c_tensor, type, 0);
FIELD(d2c_tensor, data, 72);
FIELD(d2c_tensor, size, 80);

SIZE(d2c_value, 56);
FIELD(d2c_value, kind, 0);
FIELD(d2c_value, boolean, 4);
FIELD(d2c_value, integer, 8);
FIELD(d2c_value, real, 16);
FIELD(d2c_value, text, 24);
FIELD(d2c_value, count, 32);
FIELD(d2c_value, items, 40);
FIELD(d2c_value, keys, 48);

SIZE(d2c_option_spec, 48);
FIELD(d2c_option_spec, struct_size, 0);
FIELD(d2c_option_spec, name, 8);
FIELD(d2c_option_spec, kind, 16);
FIELD(d2c_option_spec, default_json, 24);
FIELD(d2c_option_spec, allowed_json, 32);
FIELD(d2c_option_spec, help, 40);

SIZE(d2c_host, 40);
FIELD(d2c_host, struct_size, 0);
FIELD(d2c_host, self, 8);
FIELD(d2c_host, log, 16);
FIELD(d2c_host, fail, 24);
FIELD(d2c_host, cancelled, 32);

SIZE(d2c_tensor_info, 96);
FIELD(d2c_tensor_info, struct_size, 0);
FIELD(d2c_tensor_info, name, 8);
FIELD(d2c_tensor_info, type, 16);
FIELD(d2c_tensor_info, file, 88);

SIZE(d2c_view, 32);
FIELD(d2c_view, data, 0);
FIELD(d2c_view, size, 8);
FIELD(d2c_view, token, 16);
FIELD(d2c_view, release, 24);

SIZE(d2c_asset, 32);
FIELD(d2c_asset, struct_size, 0);
FIELD(d2c_asset, name, 8);
FIELD(d2c_asset, data, 16);
FIELD(d2c_asset, size, 24);

SIZE(d2c_weight_source, 88);
FIELD(d2c_weight_source, struct_size, 0);
FIELD(d2c_weight_source, self, 8);
FIELD(d2c_weight_source, destroy, 16);
FIELD(d2c_weight_source, config, 24);
FIELD(d2c_weight_source, tensor_count, 32);
FIELD(d2c_weight_source, tensor, 40);
FIELD(d2c_weight_source, view, 48);
FIELD(d2c_weight_source, file_count, 56);
FIELD(d2c_weight_source, file, 64);
FIELD(d2c_weight_source, asset_count, 72);
FIELD(d2c_weight_source, asset, 80);

SIZE(d2c_adapter_target, 40);
FIELD(d2c_adapter_target, struct_size, 0);
FIELD(d2c_adapter_target, tensor, 8);
FIELD(d2c_adapter_target, rank, 16);
FIELD(d2c_adapter_target, flags, 20);
FIELD(d2c_adapter_target, rows, 24);
FIELD(d2c_adapter_target, job_bytes, 32);

SIZE(d2c_base_model, 40);
FIELD(d2c_base_model, struct_size, 0);
FIELD(d2c_base_model, config, 8);
FIELD(d2c_base_model, tensors, 16);
FIELD(d2c_base_model, tensor_count, 24);
FIELD(d2c_base_model, tied, 32);

SIZE(d2c_adapter_merger, 112);
FIELD(d2c_adapter_merger, struct_size, 0);
FIELD(d2c_adapter_merger, self, 8);
FIELD(d2c_adapter_merger, destroy, 16);
FIELD(d2c_adapter_merger, bind, 24);
FIELD(d2c_adapter_merger, target_count, 32);
FIELD(d2c_adapter_merger, target, 40);
FIELD(d2c_adapter_merger, begin, 48);
FIELD(d2c_adapter_merger, observe, 56);
FIELD(d2c_adapter_merger, process, 64);
FIELD(d2c_adapter_merger, end, 72);
FIELD(d2c_adapter_merger, factor, 80);
FIELD(d2c_adapter_merger, file_count, 88);
FIELD(d2c_adapter_merger, file, 96);
FIELD(d2c_adapter_merger, summary, 104);

SIZE(d2c_plane, 88);
FIELD(d2c_plane, role, 0);
FIELD(d2c_plane, reserved, 4);
FIELD(d2c_plane, type, 8);
FIELD(d2c_plane, rows_per_slice, 80);

SIZE(d2c_layout, 464);
FIELD(d2c_layout, struct_size, 0);
FIELD(d2c_layout, scheme, 8);
FIELD(d2c_layout, input_dtype, 12);
FIELD(d2c_layout, padded_rows, 16);
FIELD(d2c_layout, tile_rows, 24);
FIELD(d2c_layout, needs_observe, 32);
FIELD(d2c_layout, bits, 36);
FIELD(d2c_layout, scratch_bytes, 40);
FIELD(d2c_layout, job_bytes, 48);
FIELD(d2c_layout, plane_count, 56);
FIELD(d2c_layout, reserved, 60);
FIELD(d2c_layout, planes, 64);
FIELD(d2c_layout, label, 416);

SIZE(d2c_weight_desc, 96);
FIELD(d2c_weight_desc, struct_size, 0);
FIELD(d2c_weight_desc, name, 8);
FIELD(d2c_weight_desc, role, 16);
FIELD(d2c_weight_desc, type, 24);

SIZE(d2c_tile, 24);
FIELD(d2c_tile, first_row, 0);
FIELD(d2c_tile, rows, 8);
FIELD(d2c_tile, data, 16);

SIZE(d2c_tile_stats, 64);
FIELD(d2c_tile_stats, struct_size, 0);
FIELD(d2c_tile_stats, squared_error, 8);
FIELD(d2c_tile_stats, squared_sum, 16);
FIELD(d2c_tile_stats, max_error, 24);
FIELD(d2c_tile_stats, groups, 32);
FIELD(d2c_tile_stats, groups_certified, 40);
FIELD(d2c_tile_stats, distinct_values, 48);
FIELD(d2c_tile_stats, excess_bound, 56);

SIZE(d2c_quantizer, 64);
FIELD(d2c_quantizer, struct_size, 0);
FIELD(d2c_quantizer, self, 8);
FIELD(d2c_quantizer, destroy, 16);
FIELD(d2c_quantizer, plan, 24);
FIELD(d2c_quantizer, begin, 32);
FIELD(d2c_quantizer, observe, 40);
FIELD(d2c_quantizer, process, 48);
FIELD(d2c_quantizer, end, 56);

SIZE(d2c_weight_ref, 120);
FIELD(d2c_weight_ref, struct_size, 0);
FIELD(d2c_weight_ref, source, 8);
FIELD(d2c_weight_ref, tensor, 16);
FIELD(d2c_weight_ref, stack, 24);
FIELD(d2c_weight_ref, part, 32);
FIELD(d2c_weight_ref, role, 40);
FIELD(d2c_weight_ref, type, 48);

SIZE(d2c_argument, 24);
FIELD(d2c_argument, name, 0);
FIELD(d2c_argument, values, 8);
FIELD(d2c_argument, count, 16);

SIZE(d2c_graph_builder, 96);
FIELD(d2c_graph_builder, struct_size, 0);
FIELD(d2c_graph_builder, self, 8);
FIELD(d2c_graph_builder, input, 16);
FIELD(d2c_graph_builder, state, 24);
FIELD(d2c_graph_builder, constant, 32);
FIELD(d2c_graph_builder, weight, 40);
FIELD(d2c_graph_builder, op, 48);
FIELD(d2c_graph_builder, output, 56);
FIELD(d2c_graph_builder, type_of, 64);
FIELD(d2c_graph_builder, has_tensor, 72);
FIELD(d2c_graph_builder, adapter_rank, 80);
FIELD(d2c_graph_builder, metadata, 88);

SIZE(d2c_delta, 16);
FIELD(d2c_delta, stack, 0);
FIELD(d2c_delta, sign, 8);

SIZE(d2c_emit_request, 56);
FIELD(d2c_emit_request, struct_size, 0);
FIELD(d2c_emit_request, function, 8);
FIELD(d2c_emit_request, source, 16);
FIELD(d2c_emit_request, delta_count, 20);
FIELD(d2c_emit_request, stack, 24);
FIELD(d2c_emit_request, deltas, 32);
FIELD(d2c_emit_request, config, 40);
FIELD(d2c_emit_request, settings, 48);

SIZE(d2c_function_emitter, 32);
FIELD(d2c_function_emitter, struct_size, 0);
FIELD(d2c_function_emitter, self, 8);
FIELD(d2c_function_emitter, destroy, 16);
FIELD(d2c_function_emitter, emit, 24);

SIZE(d2c_node, 88);
FIELD(d2c_node, name, 0);
FIELD(d2c_node, kind, 8);
FIELD(d2c_node, index, 12);
FIELD(d2c_node, type, 16);

SIZE(d2c_op, 48);
FIELD(d2c_op, type, 0);
FIELD(d2c_op, name, 8);
FIELD(d2c_op, arguments, 16);
FIELD(d2c_op, argument_count, 24);
FIELD(d2c_op, results, 32);
FIELD(d2c_op, result_count, 40);

SIZE(d2c_function, 64);
FIELD(d2c_function, struct_size, 0);
FIELD(d2c_function, name, 8);
FIELD(d2c_function, nodes, 16);
FIELD(d2c_function, node_count, 24);
FIELD(d2c_function, ops, 32);
FIELD(d2c_function, op_count, 40);
FIELD(d2c_function, outputs, 48);
FIELD(d2c_function, output_count, 56);

SIZE(d2c_weight, 104);
FIELD(d2c_weight, struct_size, 0);
FIELD(d2c_weight, name, 8);
FIELD(d2c_weight, key, 16);
FIELD(d2c_weight, type, 24);
FIELD(d2c_weight, layout, 96);

SIZE(d2c_entry, 16);
FIELD(d2c_entry, key, 0);
FIELD(d2c_entry, value, 8);

SIZE(d2c_program, 72);
FIELD(d2c_program, struct_size, 0);
FIELD(d2c_program, functions, 8);
FIELD(d2c_program, function_count, 16);
FIELD(d2c_program, default_function, 24);
FIELD(d2c_program, constants, 32);
FIELD(d2c_program, constant_count, 40);
FIELD(d2c_program, weights, 48);
FIELD(d2c_program, weight_count, 56);
FIELD(d2c_program, deployment, 64);

SIZE(d2c_blob, 32);
FIELD(d2c_blob, struct_size, 0);
FIELD(d2c_blob, file, 8);
FIELD(d2c_blob, offset, 16);
FIELD(d2c_blob, size, 24);

SIZE(d2c_attachment, 24);
FIELD(d2c_attachment, name, 0);
FIELD(d2c_attachment, data, 8);
FIELD(d2c_attachment, size, 16);

SIZE(d2c_package_info, 72);
FIELD(d2c_package_info, struct_size, 0);
FIELD(d2c_package_info, description, 8);
FIELD(d2c_package_info, author, 16);
FIELD(d2c_package_info, license, 24);
FIELD(d2c_package_info, version, 32);
FIELD(d2c_package_info, metadata, 40);
FIELD(d2c_package_info, metadata_count, 48);
FIELD(d2c_package_info, attachments, 56);
FIELD(d2c_package_info, attachment_count, 64);

SIZE(d2c_package_writer, 72);
FIELD(d2c_package_writer, struct_size, 0);
FIELD(d2c_package_writer, self, 8);
FIELD(d2c_package_writer, destroy, 16);
FIELD(d2c_package_writer, plan, 24);
FIELD(d2c_package_writer, blob, 32);
FIELD(d2c_package_writer, begin, 40);
FIELD(d2c_package_writer, write, 48);
FIELD(d2c_package_writer, sync, 56);
FIELD(d2c_package_writer, finish, 64);

SIZE(d2c_feature, 80);
FIELD(d2c_feature, name, 0);
FIELD(d2c_feature, type, 8);

SIZE(d2c_signature, 64);
FIELD(d2c_signature, struct_size, 0);
FIELD(d2c_signature, function, 8);
FIELD(d2c_signature, inputs, 16);
FIELD(d2c_signature, input_count, 24);
FIELD(d2c_signature, states, 32);
FIELD(d2c_signature, state_count, 40);
FIELD(d2c_signature, outputs, 48);
FIELD(d2c_signature, output_count, 56);

SIZE(d2c_buffer, 24);
FIELD(d2c_buffer, name, 0);
FIELD(d2c_buffer, data, 8);
FIELD(d2c_buffer, size, 16);

SIZE(d2c_runner, 80);
FIELD(d2c_runner, struct_size, 0);
FIELD(d2c_runner, self, 8);
FIELD(d2c_runner, destroy, 16);
FIELD(d2c_runner, function_count, 24);
FIELD(d2c_runner, signature, 32);
FIELD(d2c_runner, make_state, 40);
FIELD(d2c_runner, free_state, 48);
FIELD(d2c_runner, call, 56);
FIELD(d2c_runner, describe, 64);
FIELD(d2c_runner, state_buffer, 72);

SIZE(d2c_package_reader, 40);
FIELD(d2c_package_reader, struct_size, 0);
FIELD(d2c_package_reader, self, 8);
FIELD(d2c_package_reader, destroy, 16);
FIELD(d2c_package_reader, describe, 24);
FIELD(d2c_package_reader, rows, 32);

SIZE(d2c_fetch_request, 56);
FIELD(d2c_fetch_request, struct_size, 0);
FIELD(d2c_fetch_request, id, 8);
FIELD(d2c_fetch_request, revision, 16);
FIELD(d2c_fetch_request, purpose, 24);
FIELD(d2c_fetch_request, listener, 32);
FIELD(d2c_fetch_request, begin, 40);
FIELD(d2c_fetch_request, advance, 48);

SIZE(d2c_fetched, 32);
FIELD(d2c_fetched, struct_size, 0);
FIELD(d2c_fetched, folder, 8);
FIELD(d2c_fetched, name, 16);
FIELD(d2c_fetched, revision, 24);

SIZE(d2c_fetcher, 32);
FIELD(d2c_fetcher, struct_size, 0);
FIELD(d2c_fetcher, self, 8);
FIELD(d2c_fetcher, destroy, 16);
FIELD(d2c_fetcher, fetch, 24);

SIZE(d2c_factory, 40);
FIELD(d2c_factory, struct_size, 0);
FIELD(d2c_factory, options, 8);
FIELD(d2c_factory, option_count, 16);
FIELD(d2c_factory, create, 24);
FIELD(d2c_factory, probe, 32);

SIZE(d2c_plugin_entry, 56);
FIELD(d2c_plugin_entry, magic, 0);
FIELD(d2c_plugin_entry, abi_major, 4);
FIELD(d2c_plugin_entry, abi_minor, 6);
FIELD(d2c_plugin_entry, struct_size, 8);
FIELD(d2c_plugin_entry, name, 16);
FIELD(d2c_plugin_entry, version, 24);
FIELD(d2c_plugin_entry, summary, 32);
FIELD(d2c_plugin_entry, kinds, 40);
FIELD(d2c_plugin_entry, factory, 48);

#undef SIZE
#undef FIELD

#endif
