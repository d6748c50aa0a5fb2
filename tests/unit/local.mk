# One program a folder of lib/, with check; only its CFLAGS and LIBS are set here for all. Two lines each:
#   check_PROGRAMS += tests/unit/base_test
#   tests_unit_base_test_SOURCES = tests/unit/base_test.c
AM_CFLAGS += $(CHECK_CFLAGS)

check_PROGRAMS += tests/unit/base_test
tests_unit_base_test_SOURCES = \
	tests/unit/base_address_test.c \
	tests/unit/base_console_test.c \
	tests/unit/base_deadline_test.c \
	tests/unit/base_log_test.c \
	tests/unit/base_mailbox_test.c \
	tests/unit/base_test.c \
	tests/unit/base_test.h \
	tests/unit/base_time_test.c \
	tests/unit/unit.h

check_PROGRAMS += tests/unit/ca_test
tests_unit_ca_test_SOURCES = \
	tests/unit/ca_signer_test.c \
	tests/unit/ca_test.c \
	tests/unit/ca_test.h \
	tests/unit/unit.h

check_PROGRAMS += tests/unit/daemon_test
tests_unit_daemon_test_SOURCES = \
	tests/unit/daemon_cpus_test.c \
	tests/unit/daemon_test.c \
	tests/unit/daemon_test.h \
	tests/unit/unit.h

check_PROGRAMS += tests/unit/admin_test
tests_unit_admin_test_SOURCES = \
	tests/unit/admin_access_log_test.c \
	tests/unit/admin_account.c \
	tests/unit/admin_account.h \
	tests/unit/admin_advice_test.c \
	tests/unit/admin_connections_test.c \
	tests/unit/admin_diagnosis_test.c \
	tests/unit/admin_explanation_test.c \
	tests/unit/admin_fixture.c \
	tests/unit/admin_history_test.c \
	tests/unit/admin_load_test.c \
	tests/unit/admin_limits_test.c \
	tests/unit/admin_overview_test.c \
	tests/unit/admin_request_test.c \
	tests/unit/admin_rig.c \
	tests/unit/admin_rig.h \
	tests/unit/admin_test.c \
	tests/unit/admin_test.h \
	tests/unit/unit.h
# Time that a test moves
tests_unit_admin_test_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_gettime

check_PROGRAMS += tests/unit/http_test
tests_unit_http_test_SOURCES = \
	tests/unit/http_body_test.c \
	tests/unit/http_corpus_test.c \
	tests/unit/http_explain_test.c \
	tests/unit/http_fields_test.c \
	tests/unit/http_message.c \
	tests/unit/http_message.h \
	tests/unit/http_opening_test.c \
	tests/unit/http_repair_test.c \
	tests/unit/http_scan_test.c \
	tests/unit/http_test.c \
	tests/unit/http_test.h \
	tests/unit/http_uri_test.c \
	tests/unit/unit.h

check_PROGRAMS += tests/unit/io_test
tests_unit_io_test_SOURCES = \
	tests/unit/io_asked.c \
	tests/unit/io_asked.h \
	tests/unit/io_connector_rig.c \
	tests/unit/io_connector_rig.h \
	tests/unit/io_connector_test.c \
	tests/unit/io_dns.c \
	tests/unit/io_dns.h \
	tests/unit/io_binding_test.c \
	tests/unit/io_families_test.c \
	tests/unit/io_listener_test.c \
	tests/unit/io_owner_test.c \
	tests/unit/io_parent_test.c \
	tests/unit/io_race_test.c \
	tests/unit/io_resolv_conf_test.c \
	tests/unit/io_resolver_test.c \
	tests/unit/io_test.c \
	tests/unit/io_test.h \
	tests/unit/io_tls_accept_test.c \
	tests/unit/io_tls_client.c \
	tests/unit/io_tls_connects_test.c \
	tests/unit/io_tls_peer.c \
	tests/unit/io_tls_peer.h \
	tests/unit/io_tls_data_test.c \
	tests/unit/io_tls_session_test.c \
	tests/unit/io_tls_packet_test.c \
	tests/unit/io_tls_test.c \
	tests/unit/io_tls_test.h \
	tests/unit/unit.h

check_PROGRAMS += tests/unit/config_test
tests_unit_config_test_SOURCES = \
	tests/unit/config_match_test.c \
	tests/unit/config_mistakes_test.c \
	tests/unit/config_parts_test.c \
	tests/unit/config_print_test.c \
	tests/unit/config_test.c \
	tests/unit/config_test.h \
	tests/unit/config_reload_test.c \
	tests/unit/config_tls_test.c \
	tests/unit/unit.h

# Holds conf/carpool.yaml and doc/carpool.yaml.5 against the option table.
check_PROGRAMS += tests/unit/config_docs_test
tests_unit_config_docs_test_SOURCES = tests/unit/config_docs_test.c tests/unit/source.c tests/unit/source.h

# Holds doc/contract.md against the tables of the code.
check_PROGRAMS += tests/unit/contract_test
tests_unit_contract_test_SOURCES = tests/unit/contract_test.c tests/unit/source.c tests/unit/source.h

check_PROGRAMS += tests/unit/pool_test
tests_unit_pool_test_SOURCES = \
	tests/unit/pool_forget_test.c \
	tests/unit/pool_learned_test.c \
	tests/unit/pool_ledger_test.c \
	tests/unit/pool_model.c \
	tests/unit/pool_model.h \
	tests/unit/pool_places_test.c \
	tests/unit/pool_life_test.c \
	tests/unit/pool_path_test.c \
	tests/unit/pool_places_rig.c \
	tests/unit/pool_places_rig.h \
	tests/unit/pool_probes_test.c \
	tests/unit/pool_reload_test.c \
	tests/unit/pool_queue_test.c \
	tests/unit/pool_random_test.c \
	tests/unit/pool_rig.c \
	tests/unit/pool_rig.h \
	tests/unit/pool_savings_test.c \
	tests/unit/pool_test.c \
	tests/unit/pool_test.h \
	tests/unit/pool_turns_test.c \
	tests/unit/unit.h
# Time that a test moves, memory that it takes away, and a kernel that says what it is to say
tests_unit_pool_test_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_gettime -Wl,--wrap=ack_look -Wl,--wrap=calloc

check_PROGRAMS += tests/unit/proxy_test
tests_unit_proxy_test_SOURCES = \
	tests/unit/proxy_access_test.c \
	tests/unit/proxy_caller_test.c \
	tests/unit/proxy_exchange_test.c \
	tests/unit/proxy_fate_test.c \
	tests/unit/proxy_memory_test.c \
	tests/unit/proxy_own_urls_test.c \
	tests/unit/proxy_rig.c \
	tests/unit/proxy_rig.h \
	tests/unit/proxy_route_test.c \
	tests/unit/proxy_splice_test.c \
	tests/unit/proxy_stale_test.c \
	tests/unit/proxy_talk.c \
	tests/unit/proxy_talk.h \
	tests/unit/proxy_test.c \
	tests/unit/proxy_test.h \
	tests/unit/proxy_trouble_test.c \
	tests/unit/proxy_beside_test.c \
	tests/unit/proxy_blocked_test.c \
	tests/unit/proxy_low_water_test.c \
	tests/unit/proxy_gone_test.c \
	tests/unit/proxy_private_test.c \
	tests/unit/proxy_reload_test.c \
	tests/unit/proxy_secure_test.c \
	tests/unit/proxy_tunnel_test.c \
	tests/unit/unit.h
# Its kernel may refuse, and memory may be short
tests_unit_proxy_test_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=splice -Wl,--wrap=realloc -Wl,--wrap=malloc \
	-Wl,--wrap=calloc

check_PROGRAMS += tests/unit/wire_test
tests_unit_wire_test_SOURCES = \
	tests/unit/unit.h \
	tests/unit/wire_h1_test.c \
	tests/unit/wire_h1_requests_test.c \
	tests/unit/wire_h1_rig.c \
	tests/unit/wire_h1_rig.h \
	tests/unit/wire_h1_low_water_test.c \
	tests/unit/wire_h1_turns_test.c \
	tests/unit/wire_h2_ends_test.c \
	tests/unit/wire_h2_flow_test.c \
	tests/unit/wire_h2_memory_test.c \
	tests/unit/wire_h2_rig.c \
	tests/unit/wire_h2_rig.h \
	tests/unit/wire_h2_strictness_test.c \
	tests/unit/wire_h2_translation_test.c \
	tests/unit/wire_h2_trouble_test.c \
	tests/unit/wire_test.c \
	tests/unit/wire_test.h
