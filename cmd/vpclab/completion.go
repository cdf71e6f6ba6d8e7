package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

// shells are those that vpclab can be completed in, and how cobra writes the script for each.
var shells = map[string]func(root *cobra.Command) error{
	"bash": func(root *cobra.Command) error { return root.GenBashCompletionV2(root.OutOrStdout(), true) },
	"fish": func(root *cobra.Command) error { return root.GenFishCompletion(root.OutOrStdout(), true) },
	"zsh":  func(root *cobra.Command) error { return root.GenZshCompletion(root.OutOrStdout()) },
}

func completionCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|fish|zsh",
		Short: "Print a script that completes vpclab's command line in a shell",
		Example: `  source <(vpclab completion bash)
  vpclab completion fish > ~/.config/fish/completions/vpclab.fish
  vpclab completion zsh > "${fpath[1]}/_vpclab"`,
		ValidArgs: []string{"bash", "fish", "zsh"},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("name one shell: bash, fish or zsh")
			}
			if shells[args[0]] == nil {
				return fmt.Errorf("no completion for %q; there is bash, fish and zsh", args[0])
			}
			return nil
		},
		RunE: act(func(_ context.Context, args []string) error { return shells[args[0]](root) }),
	}
}
